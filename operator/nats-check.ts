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

/** Host, an IPv6 address without brackets, and port of a server, as `nats.servers` of the spec has them. */
export function parseNatsAddress(server: string): { host: string; port: number } {
  const { hostname, port } = new URL(server.includes('://') ? server : `nats://${server}`)
  return {
    host: hostname.replace(/^\[|\]$/g, '').toLowerCase(),
    port: port === '' ? DEFAULT_PORT : Number(port),
  }
}

async function findServerFault(server: string, signal: AbortSignal): Promise<string | undefined> {
  const { host, port } = parseNatsAddress(server)
  const address = `${host}:${port}`
  const socket = connect({ host, port })
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
