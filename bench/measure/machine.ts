import { execFile } from 'node:child_process'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { readPeerVersion } from '../peers/install.ts'
import { findServer, type ServerName } from '../../test/kit/servers/server-binary.ts'

/** Where figures were measured. Nothing here says whose machine it was. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly system: string
  readonly versions: Readonly<Record<string, string>>
  /** Processes that wanted to run in the minute before, on average; the machine was free when it is near 0. */
  readonly loadBefore: number
}

export async function readMachine(): Promise<Machine> {
  const [redis, nats, socketIo] = await Promise.all([
    readVersion('redis'),
    readVersion('nats'),
    readPeerVersion('socket.io'),
  ])
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${process.arch}`,
    versions: { Node: process.versions.node, Redis: redis, NATS: nats, 'Socket.IO': socketIo },
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(1)),
  }
}

/** One sentence. */
export function describeMachine({ cpu, cores, memoryGb, system, versions, loadBefore }: Machine): string {
  const software = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return (
    `Machine: ${cpu}, ${cores} cores, ${memoryGb} GB, ${system}; ${software.join(', ')}; ` +
    `load of the minute before: ${loadBefore}.`
  )
}

async function readVersion(name: ServerName): Promise<string> {
  const server = await findServer(name)
  if (server?.kind !== 'binary') return server?.image.split(':')[1] ?? 'unknown'
  const { stdout } = await promisify(execFile)(server.file, ['--version'])
  return /v?=?(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? 'unknown'
}
