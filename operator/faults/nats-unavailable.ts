import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { formatAddress } from '../../server/address.ts'
import type { Fault } from './fault.ts'

const TIMEOUT_MS = 2_000
const DEFAULT_PORT = 4222
const MAX_GREETING = 65_536

/** No NATS server of a list answers. */
export async function findNatsUnavailable(servers: readonly string[], signal: AbortSignal): Promise<Fault[]> {
  const why = await findNatsFault(servers, signal)
  const advice = 'check spec.nats.servers, and whether NATS runs'
  return why === undefined ? [] : [{ reason: 'NatsUnavailable', message: `no NATS server answers: ${why}; ${advice}` }]
}

/**
 * Says why no NATS server of a list answers, or offers the TLS that it must, or undefined when one does. A server greets with INFO before it asks for
 * credentials or TLS, so that this needs neither.
 */
export async function findNatsFault(servers: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  // As gateways do: where one is tls:// none is spoken to without.
  const tls = servers.some((server) => /^tls:/i.test(server))
  const faults = await Promise.all(servers.map((server) => findServerFault(server, tls, signal)))
  return faults.includes(undefined) ? undefined : faults.join('; ')
}

/** Host, an IPv6 address without brackets, and port of a server in `nats.servers` of the spec; undefined where it has none. */
export function parseNatsAddress(server: string): { host: string; port: number } | undefined {
  const url = server.includes('://') ? server : `nats://${server}`
  // The CRD leaves such as a port of 70000 through.
  if (!URL.canParse(url)) return undefined
  const { hostname, port } = new URL(url)
  return {
    host: hostname.replace(/^\[|\]$/g, '').toLowerCase(),
    port: port === '' ? DEFAULT_PORT : Number(port),
  }
}

async function findServerFault(server: string, tls: boolean, signal: AbortSignal): Promise<string | undefined> {
  const parsed = parseNatsAddress(server)
  if (parsed === undefined) return `${server} is no address: nats://host:port, with an IPv6 address in brackets`
  const address = formatAddress(parsed.host, parsed.port)
  const socket = connect(parsed)
  try {
    const greeting = await readLine(socket, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]))
    if (!greeting.startsWith('INFO ')) return `${address} is no NATS server`
    const offersTls = /"tls_(required|available)"\s*:\s*true/.test(greeting)
    return offersTls || !tls ? undefined : `${address} offers no TLS, which tls:// asks for`
  } catch (error) {
    signal.throwIfAborted()
    const code = (error as NodeJS.ErrnoException).code
    return `${address} does not answer${code === undefined || code === 'ABORT_ERR' ? '' : ` (${code})`}`
  } finally {
    socket.destroy()
  }
}

/** The first line, or as much of it as a greeting may have. */
async function readLine(socket: Socket, signal: AbortSignal): Promise<string> {
  let line = ''
  do {
    const [data] = (await once(socket, 'data', { signal })) as [Buffer]
    line += data.toString('latin1')
    // What begins otherwise is no greeting, however it goes on.
  } while (!line.includes('\n') && line.startsWith('INFO '.slice(0, line.length)) && line.length < MAX_GREETING)
  return line.slice(0, MAX_GREETING)
}
