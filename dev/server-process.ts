import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startChild, type Child } from './child.ts'
import { findFreePort } from './free-port.ts'
import { guard } from './janitor.ts'

/** A server of a test or of the development cluster, on 127.0.0.1. Disposing it stops it and removes its data. */
export interface ServerProcess extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Of the process that runs now, or ran last. */
  readonly pid: number
  /** Ends the process; data and port are kept. `signal` defaults to SIGTERM; SIGKILL makes it a crash. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port with the same data; resolves when it answers. */
  start(): Promise<void>
}

/** What differs between servers. */
export interface ServerKind {
  readonly name: 'redis' | 'nats'
  readonly file: string
  buildArgs(port: number, directory: string): string[]
  /** Part of the line that the server prints when it is up. Proof that it is this process that answers, not another. */
  readonly readyLine: string
  /** Sent on a fresh connection; the server is up when `answer` is in what comes back. */
  readonly probe: { readonly request: string; readonly answer: string }
}

const START_DEADLINE_MS = 15_000
const PORT_TRIES = 5

/** Starts a server and resolves when it answers. Without a `port`, on a free one. */
export async function startServer(kind: ServerKind, fixedPort?: number): Promise<ServerProcess> {
  const directory = await mkdtemp(join(tmpdir(), `im-${kind.name}-`))
  const release = guard('directory', directory)
  const remove = async (): Promise<void> => {
    await rm(directory, { recursive: true, force: true })
    release()
  }

  let child: Child
  let port: number
  for (let tries = 1; ; tries++) {
    port = fixedPort ?? (await findFreePort())
    try {
      child = await run(kind, port, directory)
      break
    } catch (error) {
      // Somebody else may have taken the free port in the meantime.
      if (fixedPort !== undefined || tries === PORT_TRIES || !/address already in use/i.test(String(error))) {
        await remove()
        throw error
      }
    }
  }

  const server: ServerProcess = {
    url: `${kind.name}://127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid
    },
    async stop(signal) {
      await child.stop(signal)
    },
    async start() {
      if (!child.running) child = await run(kind, port, directory)
    },
    async [Symbol.asyncDispose]() {
      await child.stop()
      await remove()
    },
  }
  return server
}

async function run(kind: ServerKind, port: number, directory: string): Promise<Child> {
  const child = await startChild(kind.file, kind.buildArgs(port, directory), { cwd: directory, detached: true })
  try {
    await child.waitForLine((line) => line.includes(kind.readyLine), START_DEADLINE_MS)
    await probe(port, kind.probe)
  } catch (error) {
    await child.stop('SIGKILL')
    throw error
  }
  return child
}

function probe(port: number, { request, answer }: ServerKind['probe']): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(request))
    socket
      .setEncoding('utf8')
      .setTimeout(START_DEADLINE_MS, () => socket.destroy(new Error(`port ${port} does not answer`)))
    socket.on('data', (data: string) => {
      received += data
      if (!received.includes(answer)) return
      socket.end()
      resolve()
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the server on port ${port} hung up`)))
  })
}
