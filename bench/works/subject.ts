import type { Generator } from '../load/generator.ts'
import type { Deliveries, RunOptions } from '../load/load.ts'
import { startCpuMeter } from '../measure/cpu.ts'
import type { Peer, PeerCluster, PeerOptions, ProcessGroup } from '../peers/peer.ts'
import { FaultError } from './work.ts'

export interface PairsOptions extends PeerOptions {
  readonly pairs: number
  readonly inFlight: number
  readonly payloadBytes: number
  /** Users are at this gateway and those after it; by default at all. */
  readonly fromGateway?: number
}

/** What came, and the CPU time that each group of processes used for it, in µs. */
export interface Measured extends Deliveries {
  readonly cpu: Readonly<Record<ProcessGroup | 'load', number>>
}

/** A peer that runs, with pairs of users who are logged in. */
export interface Subject extends AsyncDisposable {
  readonly cluster: PeerCluster
  /** @throws FaultError when messages are lost, doubled or out of order */
  run(options: RunOptions & { readonly survivors?: boolean }): Promise<Measured>
}

/** Starts a peer and logs in the users. */
export async function openSubject(peer: Peer, generator: Generator, options: PairsOptions): Promise<Subject> {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await peer.start(options))
  const { wire, urls, durable, pids } = cluster
  const { pairs, inFlight, payloadBytes, fromGateway = 0 } = options
  const id = await generator.call('openLoad', {
    wire,
    urls: urls.slice(fromGateway),
    pairs,
    inFlight,
    payloadBytes,
    durable,
  })
  stack.defer(() => generator.call('closeLoad', id).catch(() => undefined))
  const running = stack.move()
  return {
    cluster,
    async run({ survivors = false, ...run }) {
      // A process that is killed meanwhile has no figure at the end.
      const gateways = survivors ? pids.gateways.slice(fromGateway) : pids.gateways
      const readCpu = startCpuMeter({ ...pids, gateways, load: [generator.pid] })
      const deliveries = await generator.call('run', { id, ...run })
      const cpu = readCpu()
      checkFaults(peer.title, deliveries)
      if (deliveries.count === 0) throw new Error(`${peer.title}: no message came while it was measured`)
      return { ...deliveries, cpu }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function checkFaults(name: string, { faults: { lost, doubled, disordered } }: Deliveries): void {
  if (lost + doubled + disordered === 0) return
  throw new FaultError(`${name}: messages lost: ${lost}, doubled: ${doubled}, out of order: ${disordered}`)
}
