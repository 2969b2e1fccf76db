import { Client } from './client.ts'
import type { ClientOptions } from './options.ts'
import { openWebSocketTransport } from './websocket-transport.ts'

export * from './exports.ts'

/**
 * Begins to connect over WebSocket (`ws://`, `wss://`) and stays connected until it is closed.
 *
 * @throws ClientError `option_invalid`
 */
export function connect(options: ClientOptions): Client {
  return new Client(options, { ws: openWebSocketTransport, wss: openWebSocketTransport })
}
