import { once } from 'node:events'
import { connect } from 'node:net'

const TIMEOUT_MS = 2_000
const DEFAULT_PORT = 4222

/**
 * Says why no NATS server of a list answers, or undefined when one does. A server greets with INFO before it asks for
 * credentials or TLS, so that this needs neither.
 */
export async function findNatsFault(servers: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  const faults = await Promise.all(servers.map((server) => findServerFault(server, signal)))
  return faults.includes(undefined) ? undefined : faults.join('; ')
}

async function findServerFault(server: string, signal: AbortSignal): Promise<string | undefined> {
  const { hostname, port } = new URL(server.includes('://') ? server : `nats://${server}`)
  const address = `${hostname}:${port === '' ? DEFAULT_PORT : port}`
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? DEFAULT_PORT : Number(port) })
  try {
    const [greeting] = (await once(socket, 'data', {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    })) as [Buffer]
    return greeting.toString('latin1', 0, 5) === 'INFO ' ? undefined : `${address} is no NATS server`
  } catch (error) {
    signal.throwIfAborted()
    const code = (error as NodeJS.ErrnoException).code
    return `${address} does not answer${code === undefined || code === 'ABORT_ERR' ? '' : ` (${code})`}`
  } finally {
    socket.destroy()
  }
}
