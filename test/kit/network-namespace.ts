import { spawnSync } from 'node:child_process'
import { describeExit, startChild } from './servers/child.ts'
import { findServer } from './servers/server-binary.ts'
import { inTime } from './wait.ts'

/** What the loopback interface has in a network of its own, and the commands that make it so. */
const networks = {
  both: [],
  ipv6: ['ip address del 127.0.0.1/8 dev lo'],
  ipv4: ['echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'],
} as const

/** Which addresses there are: `::1`, `127.0.0.1`, or both. */
export type Network = keyof typeof networks

const DEADLINE_MS = 5 * 60_000

/** Why no network can be made here, or false. Servers in containers could not be reached in it. */
export async function lacksNetworks(): Promise<string | false> {
  for (const network of Object.keys(networks) as Network[]) {
    const { error, status, stderr } = spawnSync('unshare', buildArgs(network, ['true']), { encoding: 'utf8' })
    if (error !== undefined) return `unshare cannot be run: ${error.message}`
    if (status !== 0) return `no network namespace can be made here: ${stderr.trim()}`
  }
  for (const name of ['redis', 'nats'] as const) {
    if ((await findServer(name))?.kind !== 'binary') return `there is no program ${name}-server`
  }
  return false
}

/**
 * Runs a script of ours in a network that nothing else is in.
 *
 * @throws Error with the end of its output when it does not exit with 0
 */
export async function runInNetwork(network: Network, file: string, args: readonly string[]): Promise<void> {
  const command = [process.execPath, file, ...args]
  await using child = await startChild('unshare', buildArgs(network, command), { name: file, env: process.env })
  const exit = await inTime(`the end of ${file}`, child.exited, DEADLINE_MS)
  if (exit.code !== 0) throw child.describe(`ended with ${describeExit(exit)}\n${child.lines.join('\n')}`)
}

function buildArgs(network: Network, command: readonly string[]): string[] {
  // Without root, in a user namespace where one is root.
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const script = ['set -e', 'ip link set lo up', ...networks[network], 'exec "$@"'].join('\n')
  return [...user, '--net', 'sh', '-c', script, 'sh', ...command]
}
