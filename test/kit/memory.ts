import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { GatewayProcess } from './servers/gateway-process.ts'
import { buildLogin, connectTcp, type RawClient } from './raw-client.ts'
import { metric } from './test-cluster.ts'
import { inTime, until } from './wait.ts'

const MEBI = 1_048_576
/** What a gateway may have at the very most. */
export const CONTAINER_BYTES = 256 * MEBI
/** What a gateway takes from a container of that size: its own budget, and V8 the sizes of its heap. */
export const smallContainer = {
  IM_MEMORY_BUDGET_BYTES: String(CONTAINER_BYTES / 8),
  NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=256',
  // As in the Dockerfile.
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '131072',
}
/** What a gateway that holds nothing may have in buffers. */
const FREED_BYTES = 20 * MEBI
/** Linux alone tells the peak. */
export const untold = process.platform !== 'linux' && 'needs /proc'

/** The resident memory of a gateway now, and the most that it ever was, in bytes. */
export function memoryOf({ pid }: GatewayProcess): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
  return { now: read('VmRSS'), peak: read('VmHWM') }
}

/** `134 -> 180 MB`: of a peak, and of what it was before. */
export function describeMemory(gateway: GatewayProcess, before: number): string {
  const { now, peak } = memoryOf(gateway)
  return `${gateway.brokerId}: ${[before, peak, now].map((bytes) => Math.round(bytes / MEBI)).join(' -> ')} MB`
}

export function assertSurvived(gateway: GatewayProcess): void {
  assert.ok(gateway.running)
  const { peak } = memoryOf(gateway)
  assert.ok(peak < CONTAINER_BYTES, `${gateway.brokerId} had ${Math.round(peak / MEBI)} MB`)
}

/** Resolves when a metric has not changed for a second. */
export async function steady(gateway: GatewayProcess, name: string, labels = ''): Promise<number> {
  const TIMES = 10
  let last = -1
  let same = 0
  await until(`${name} stays the same`, async () => {
    const value = await metric(gateway, name, labels)
    same = value === last ? same + 1 : 0
    last = value
    await delay(80)
    return same >= TIMES
  })
  return last
}

/** A new client is sent elsewhere, and log and metrics say why. */
export async function assertPressure(gateway: GatewayProcess): Promise<void> {
  await until('pressure', async () => (await metric(gateway, 'im_memory_pressure')) === 1)
  const used = await metric(gateway, 'im_memory_used_bytes')
  const limit = await metric(gateway, 'im_memory_budget_bytes')
  assert.ok(used > limit / 3, `${used} of ${limit} bytes are used`)
  await gateway.waitForLog(({ msg }) => String(msg).startsWith('memory is short'), 1_000)
  await using newcomer = await connectTcp(gateway.tcpUrl)
  newcomer.send(buildLogin({ token: '1:newcomer' }))
  assert.equal((await newcomer.waitForEnd()).name, 'overloaded')
  assert.ok((await metric(gateway, 'im_closes_total', 'code="overloaded"')) > 0)
}

/** When it is over new clients are welcome, and nothing is held any more, not even as garbage. */
export async function assertRelieved(gateway: GatewayProcess): Promise<void> {
  await until('a new client is welcome', async () => {
    await using newcomer = await connectTcp(gateway.tcpUrl)
    await newcomer.login({ token: '1:newcomer' })
    return true
  })
  await until('nothing is held', async () => (await metric(gateway, 'im_memory_used_bytes')) < 65_536)
  const wasShort = gateway.logs().some(({ msg }) => String(msg).startsWith('memory is short'))
  const buffers = () => metric(gateway, 'nodejs_external_memory_bytes')
  if (wasShort) await until('buffers are freed', async () => (await buffers()) < FREED_BYTES)
  await until('no pressure', async () => (await metric(gateway, 'im_memory_pressure')) === 0)
}

/** A client that pings all the time, the next one when the last was answered. */
export class Bystander {
  readonly #client: RawClient
  readonly #done: Promise<void>
  #stopped = false
  #longest = 0
  #times = 0

  private constructor(client: RawClient) {
    this.#client = client
    this.#done = this.#run()
    this.#done.catch(() => undefined)
  }

  static async open({ tcpUrl }: GatewayProcess): Promise<Bystander> {
    const client = await connectTcp(tcpUrl)
    await client.login({ token: '1:bystander' })
    return new Bystander(client)
  }

  /** Was served all the time, on one connection. Resolves with the longest time that an answer took. */
  async stop(): Promise<string> {
    this.#stopped = true
    await this.#done
    assert.ok(this.#client.open)
    this.#client.destroy()
    return `${this.#times} pings, the longest took ${Math.round(this.#longest)} ms`
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const start = performance.now()
      await inTime('the answer to a ping', this.#client.sync())
      this.#longest = Math.max(this.#longest, performance.now() - start)
      this.#times += 1
      await delay(50)
    }
  }
}

/** Logs many clients in, some at a time. */
export async function loginMany({ tcpUrl }: GatewayProcess, users: readonly string[]): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let at = 0; at < users.length; at += 100) {
    const some = users.slice(at, at + 100).map(async (user) => {
      const client = await connectTcp(tcpUrl)
      await client.login({ token: `1:${user}` })
      return client
    })
    clients.push(...(await Promise.all(some)))
  }
  return clients
}

export function namesOf(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
}
