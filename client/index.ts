import { Client } from './client.ts'
import { buildLocalError } from './errors.ts'
import type { ClientOptions } from './options.ts'
import { buildTcpTransport } from './tcp-transport.ts'
import { openWebSocketTransport } from './websocket-transport.ts'

export * from './exports.ts'

export interface NodeClientOptions extends ClientOptions {
  /** PEM certificates to trust instead of the system's, for `tls://`. Node's WebSocket takes them from the process only. */
  readonly ca?: string | Uint8Array
}

/**
 * Begins to connect over WebSocket (`ws://`, `wss://`) or TCP (`tcp://`, `tls://`) and stays connected until it is closed.
 *
 * @throws ClientError `option_invalid`
 */
export function connect(options: NodeClientOptions): Client {
  const { ca } = options
  if (ca !== undefined && [options.urls].flat().some((url) => url.startsWith('wss:'))) {
    throw buildLocalError('option_invalid', 'ca is for tls:// only; for wss:// set NODE_EXTRA_CA_CERTS')
  }
  const openTcpTransport = buildTcpTransport(ca === undefined ? {} : { ca })
  return new Client(options, {
    ws: openWebSocketTransport,
    wss: openWebSocketTransport,
    tcp: openTcpTransport,
    tls: openTcpTransport,
  })
}
