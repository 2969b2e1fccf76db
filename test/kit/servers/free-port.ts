import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Distinct TCP ports that nothing listens on now. They lie below the range that systems use for outgoing connections:
 * within it a client that retries a port whose server is down can end up connected to itself.
 */
export async function findFreePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  for (let tries = 0; tries < 1000 && ports.size < count; tries++) {
    const port = randomInt(20_000, 30_000)
    if (!ports.has(port) && (await isFree(port))) ports.add(port)
  }
  if (ports.size < count) throw new Error(`no ${count} free ports found from 20000 to 29999`)
  return [...ports]
}

/** As findFreePorts, for one. */
export async function findFreePort(): Promise<number> {
  const [port] = await findFreePorts(1)
  if (port === undefined) throw new Error('no free port found')
  return port
}

/** Of an address that this machine does not have, which nothing can listen on. */
const NO_ADDRESS = ['EADDRNOTAVAIL', 'EAFNOSUPPORT']

/** Whether a server can listen on the port, on every address and on those of this machine alone. */
export async function isFree(port: number): Promise<boolean> {
  for (const host of ['127.0.0.1', '::1', undefined]) {
    const server = createServer().listen({ port, exclusive: true, ...(host !== undefined && { host }) })
    try {
      await once(server, 'listening')
    } catch (error) {
      if (!NO_ADDRESS.includes(String((error as NodeJS.ErrnoException).code))) return false
    } finally {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
    }
  }
  return true
}
