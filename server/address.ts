import { isIPv6 } from 'node:net'

/** What the docs call the default of a listening address. */
export const EVERY_ADDRESS = 'every address'

/** `host:port` as in a URL: an IPv6 address is put in brackets. */
export function formatAddress(host: string, port: number): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/**
 * Where `net.Server` is to listen. An empty host is every address of the machine: `::`, which takes IPv4 as well, or
 * `0.0.0.0` where the kernel has no IPv6.
 */
export function buildListenOptions(host: string, port: number): { host?: string; port: number } {
  return host === '' ? { port } : { host, port }
}

/** Of an address that no interface has, or that is none, which is taken for a name. */
const NO_ADDRESS = new Set(['EADDRNOTAVAIL', 'EINVAL', 'ENOTFOUND', 'EAI_AGAIN'])

/** Why a port cannot be listened on, and which setting to change. `settings` are the names of those of host and port. */
export function explainListenError(
  cause: unknown,
  [host, port]: readonly [host: string, port: number],
  settings: { readonly host: string; readonly port: string },
): string {
  const code = (cause as NodeJS.ErrnoException).code
  const where = `cannot listen on ${host === '' ? `port ${port}` : formatAddress(host, port)}`
  if (code === 'EADDRINUSE') return `${where}: it is in use; free the port or choose another by ${settings.port}`
  if (code !== undefined && NO_ADDRESS.has(code)) {
    return `${where}: this machine has no such address (${code}); correct ${settings.host}, IPv6 without brackets`
  }
  return `${where}: ${String(code ?? cause)}; choose another port by ${settings.port}, or correct ${settings.host}`
}
