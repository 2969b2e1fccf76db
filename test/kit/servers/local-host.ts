/** Where servers of tests and of the development cluster listen unless they are told otherwise. */
export const LOCAL_HOST = '127.0.0.1'

/** Host and port of a URL, as sockets take them: an IPv6 address has no brackets. */
export function parsePlace(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }
}
