import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** How a server is run: a program of this machine, or a container. */
export type ServerCommand =
  { readonly kind: 'binary'; readonly file: string } | { readonly kind: 'container'; readonly image: string }

const servers = {
  redis: { binary: 'redis-server', image: 'redis:7.0.15-bookworm', debianPackage: 'redis-server' },
  nats: { binary: 'nats-server', image: 'nats:2.15.2', debianPackage: 'nats-server' },
  // Only as a program: in a container it would not reach the gateways on 127.0.0.1.
  haproxy: { binary: 'haproxy', image: undefined, debianPackage: 'haproxy' },
} as const
export type ServerName = keyof typeof servers

const DOCKER_DEADLINE_MS = 10_000
const PULL_DEADLINE_MS = 5 * 60_000
const INSTALL_DEADLINE_MS = 5 * 60_000

/** Finds a server on the PATH, else as a Docker image that is here already; undefined when there is neither. */
export async function findServer(name: ServerName): Promise<ServerCommand | undefined> {
  const { binary, image } = servers[name]
  const file = await findOnPath(binary)
  if (file !== undefined) return { kind: 'binary', file }
  if (image !== undefined && (await succeeds('docker', ['image', 'inspect', image])))
    return { kind: 'container', image }
  return undefined
}

/**
 * Makes sure that servers can be run: from the PATH, else in Docker, else installed by apt-get, saying what it does.
 *
 * @throws Error that says what to install, when none of that works.
 */
export async function provideServers(
  print: (line: string) => void,
  names: readonly ServerName[] = ['redis', 'nats'],
): Promise<void> {
  for (const name of names) {
    if (await findServer(name)) continue
    if ((await pull(name, print)) && (await findServer(name))) continue
    if ((await install(name, print)) && (await findServer(name))) continue
    throw new Error(explainMissing(name))
  }
}

/** What to do when a server is not to be had. */
export function explainMissing(name: ServerName): string {
  const { binary, image, debianPackage } = servers[name]
  const docker = image === undefined ? '' : ', or start Docker'
  return (
    `${binary} was not found on the PATH, and could be had neither from Docker nor from the package manager. Install it ` +
    `(Debian, Ubuntu: apt install ${debianPackage}; macOS: brew install ${name === 'nats' ? 'nats-server' : name})${docker}.`
  )
}

async function findOnPath(binary: string): Promise<string | undefined> {
  // Debian's nats-server is in /usr/sbin, which the PATH of an ordinary user lacks.
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
  for (const directory of directories.filter(Boolean)) {
    const file = join(directory, binary)
    if (
      await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return file
  }
  return undefined
}

async function pull(name: ServerName, print: (line: string) => void): Promise<boolean> {
  const { binary, image } = servers[name]
  if (image === undefined) return false
  if (!(await succeeds('docker', ['version', '--format', '{{.Server.Version}}']))) return false
  print(`${binary} is not on the PATH; pulling the Docker image ${image} …`)
  return runVisibly('docker', ['pull', '--quiet', image], PULL_DEADLINE_MS)
}

/** Debian starts what it installs; a policy-rc.d that answers 101 is its documented way to prevent that. */
const installScript = `set -e
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$1" >/dev/null
if [ -d /run/systemd/system ]; then systemctl disable --quiet "$1"; fi`

async function install(name: ServerName, print: (line: string) => void): Promise<boolean> {
  const { binary, debianPackage } = servers[name]
  if ((await findOnPath('apt-get')) === undefined) return false
  const shell = ['sh', '-c', installScript, 'sh', debianPackage]
  const isRoot = process.getuid?.() === 0
  if (!isRoot && !(await succeeds('sudo', ['-n', 'true']))) return false
  print(
    `${binary} is not on the PATH; installing the package ${debianPackage} with apt-get (its service is not started) …`,
  )
  return isRoot
    ? runVisibly('sh', shell.slice(1), INSTALL_DEADLINE_MS)
    : runVisibly('sudo', ['-n', ...shell], INSTALL_DEADLINE_MS)
}

/** Runs a command with its output on standard error. It is left to end by itself when this process is interrupted. */
async function runVisibly(file: string, args: readonly string[], timeout: number): Promise<boolean> {
  const child = spawn(file, args, { stdio: ['ignore', 2, 2], timeout })
  const [code] = await Promise.race([once(child, 'exit'), once(child, 'error').then(() => [1])])
  return code === 0
}

const execFileAsync = promisify(execFile)

async function succeeds(file: string, args: readonly string[]): Promise<boolean> {
  return execFileAsync(file, args, { timeout: DOCKER_DEADLINE_MS }).then(
    () => true,
    () => false,
  )
}
