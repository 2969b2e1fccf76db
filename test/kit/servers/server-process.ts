import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startChild, type Child, type Exit } from './child.ts'
import { findFreePort } from './free-port.ts'
import { formatAddress } from '../../../server/address.ts'
import { guard } from './janitor.ts'
import { LOCAL_HOST } from './local-host.ts'
import { explainMissing, findServer, type ServerCommand, type ServerName } from './server-binary.ts'

/** A server of a test or of the development cluster, on this machine. Disposing it stops it and removes its data. */
export interface ServerProcess extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Of the process that runs now, or ran last. */
  readonly pid: number
  /** The end of that process. */
  readonly exited: Promise<Exit>
  /** Ends the process; data and port are kept. `signal` defaults to SIGTERM; SIGKILL makes it a crash. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port with the same data; resolves when it answers. */
  start(): Promise<void>
  /** Writes files in its directory, and tells it to read its configuration again (SIGHUP); returns at once. */
  reload(files: Readonly<Record<string, string>>): Promise<void>
}

/** What differs between servers. */
export interface ServerKind {
  readonly name: ServerName
  /** Address that it listens on; 127.0.0.1 by default, and always in a container. */
  readonly host?: string
  buildArgs(address: string, port: number, directory: string): string[]
  /** Files in its directory, by name. */
  readonly files?: Readonly<Record<string, string>>
  /** Part of the line that the server prints when it is up. Proof that it is this process that answers, not another. */
  readonly readyLine: string
  /** Sent on a fresh connection; the server is up when `answer` is in what comes back. */
  readonly probe: { readonly request: string; readonly answer: string }
}

/** A server that is up. */
interface Running {
  readonly pid: number
  readonly child: Child
  stop(signal?: NodeJS.Signals): Promise<unknown>
}

const START_DEADLINE_MS = 60_000
const PORT_TRIES = 5
const execFileAsync = promisify(execFile)

/** Starts a server and resolves when it answers. Without a `port`, on a free one. */
export async function startServer(kind: ServerKind, fixedPort?: number): Promise<ServerProcess> {
  const command = await findServer(kind.name)
  if (!command) throw new Error(explainMissing(kind.name))
  const directory = await mkdtemp(join(tmpdir(), `im-${kind.name}-`))
  const release = guard('directory', directory)
  const remove = async (): Promise<void> => {
    await rm(directory, { recursive: true, force: true })
    release()
  }

  const write = async (files: ServerKind['files'] = {}): Promise<void> => {
    for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content)
  }
  await write(kind.files)

  let running: Running
  let port: number
  for (let tries = 1; ; tries++) {
    port = fixedPort ?? (await findFreePort())
    try {
      running = await run(kind, command, port, directory)
      break
    } catch (error) {
      // Somebody else may have taken the free port in the meantime.
      const portTaken = /address already in use|port is already allocated/i.test(String(error))
      if (fixedPort !== undefined || tries === PORT_TRIES || !portTaken) {
        await remove()
        throw error
      }
    }
  }

  return {
    url: `${kind.name}://${formatAddress(kind.host ?? LOCAL_HOST, port)}`,
    port,
    get pid() {
      return running.pid
    },
    get exited() {
      return running.child.exited
    },
    async stop(signal) {
      await running.stop(signal)
    },
    async start() {
      if (!running.child.running) running = await run(kind, command, port, directory)
    },
    async reload(files) {
      await write(files)
      process.kill(running.pid, 'SIGHUP')
    },
    async [Symbol.asyncDispose]() {
      await running.stop()
      await remove()
    },
  }
}

function run(kind: ServerKind, command: ServerCommand, port: number, directory: string): Promise<Running> {
  return command.kind === 'binary'
    ? runBinary(kind, command.file, port, directory)
    : runContainer(kind, command.image, port, directory)
}

async function runBinary(kind: ServerKind, file: string, port: number, directory: string): Promise<Running> {
  const child = await startChild(file, kind.buildArgs(kind.host ?? LOCAL_HOST, port, directory), { cwd: directory })
  try {
    await waitUntilUp(child, kind, port)
  } catch (error) {
    await child.stop('SIGKILL')
    throw error
  }
  return { pid: child.pid, child, stop: (signal) => child.stop(signal) }
}

async function runContainer(kind: ServerKind, image: string, port: number, directory: string): Promise<Running> {
  const name = `im-${kind.name}-${randomUUID()}`
  const publish = `127.0.0.1:${port}:${port}`
  // As this user, so that the data can be removed without more rights.
  const user = `${process.getuid?.()}:${process.getgid?.()}`
  const options = ['--rm', '--name', name, '--user', user, '--volume', `${directory}:/data`, '--publish', publish]
  const release = guard('container', name)
  const child = await startChild('docker', ['run', ...options, image, ...kind.buildArgs('0.0.0.0', port, '/data')])
  void child.exited.then(release)

  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (!child.running) return
    // The client passes SIGTERM on, but no signal that it cannot catch.
    await execFileAsync('docker', ['kill', '--signal', signal, name]).catch(() => {})
    if (signal !== 'SIGKILL') await execFileAsync('docker', ['stop', '--time', '10', name]).catch(() => {})
    await child.stop()
  }
  try {
    await waitUntilUp(child, kind, port)
    const { stdout } = await execFileAsync('docker', ['inspect', '--format', '{{.State.Pid}}', name])
    return { pid: Number(stdout), child, stop }
  } catch (error) {
    await stop('SIGKILL')
    throw error
  }
}

async function waitUntilUp(child: Child, { readyLine, probe, host }: ServerKind, port: number): Promise<void> {
  await child.waitForLine((line) => line.includes(readyLine), START_DEADLINE_MS)
  await exchange(host ?? LOCAL_HOST, port, probe.request, probe.answer)
}

/** Sends a request and resolves when the answer has come. */
function exchange(host: string, port: number, request: string, answer: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let received = ''
  const socket = connect(port, host, () => socket.write(request))
  socket.setEncoding('utf8')
  socket.setTimeout(START_DEADLINE_MS, () => socket.destroy(new Error(`port ${port} does not answer`)))
  socket.on('data', (data: string) => {
    received += data
    if (!received.includes(answer)) return
    socket.end()
    resolve()
  })
  socket.on('error', reject)
  socket.on('close', () => reject(new Error(`the server on port ${port} hung up`)))
  return promise
}
