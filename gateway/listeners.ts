import { Admission } from './net/admission.ts'
import { DeadlineWheel } from './net/deadline-wheel.ts'
import { Connection } from './net/connection.ts'
import type { Dispatcher } from './dispatcher.ts'
import { Listener, type Accepted } from './net/listener.ts'
import type { Logger } from './logger.ts'
import type { MemoryBudget } from './memory/memory-budget.ts'
import type { Metrics } from './metrics.ts'
import type { GatewaySettings } from './settings.ts'
import { TcpTransport } from './net/tcp-transport.ts'
import type { TlsCredentials } from './net/tls-credentials.ts'
import type { Transport } from './net/transport.ts'
import { createWebSocketUpgrade } from './net/websocket-listener.ts'
import { WebSocketTransport } from './net/websocket-transport.ts'

/** WebSocket messages somewhat too long are answered by our own code; only those beyond this by the code of RFC 6455. */
const WEBSOCKET_ROOM = 4

/** The two listeners of a gateway, on one connection model. */
export interface Listeners {
  /** Accepts connections, after a `close` again and on the same ports. @throws GatewayError LISTEN_FAILED */
  listen(): Promise<{ tcpPort: number; wsPort: number }>
  /** Accepts no more. */
  close(): void
}

export function createListeners(
  settings: GatewaySettings,
  tls: TlsCredentials | undefined,
  metrics: Metrics,
  logger: Logger,
  dispatcher: Dispatcher,
  memory: MemoryBudget,
): Listeners {
  const admission = new Admission(settings, metrics)
  const context = { settings, metrics, logger, memory, events: dispatcher, deadlines: new DeadlineWheel() }

  const open = (transport: Transport, { newcomer }: Accepted): Connection => {
    const connection = new Connection(transport, context)
    newcomer.close = (code) => connection.close(code)
    if (dispatcher.size >= settings.maxConnections) connection.close('too_many_connections')
    else dispatcher.opened(connection, newcomer)
    return connection
  }
  const tcp = new Listener(admission, tls, metrics, (accepted) => {
    const transport = new TcpTransport(accepted.stream)
    transport.start(open(transport, accepted))
  })
  const upgrade = createWebSocketUpgrade(settings.maxFrameBytes * WEBSOCKET_ROOM, metrics, (socket, accepted) => {
    const transport = new WebSocketTransport(socket, accepted.stream)
    transport.start(open(transport, accepted))
  })
  const websocket = new Listener(admission, tls, metrics, upgrade)

  let { tcpPort, wsPort } = settings
  const listen = async () => {
    tcpPort = await tcp.listen(settings.listenHost, tcpPort, 'IM_TCP_PORT')
    wsPort = await websocket.listen(settings.listenHost, wsPort, 'IM_WS_PORT')
    return { tcpPort, wsPort }
  }
  return {
    listen,
    close: () => {
      tcp.close()
      websocket.close()
    },
  }
}
