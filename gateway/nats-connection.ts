import { setTimeout as delay } from 'node:timers/promises'
import { connect, ErrorCode, type ConnectionOptions, type NatsConnection } from 'nats'
import { GatewayError } from './errors.ts'
import type { Logger } from './logger.ts'
import type { GatewaySettings } from './settings.ts'

const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_WAIT_MS = 250
/** A server that answers no ping for twice this is given up. */
const PING_MS = 2_000
/** Between two attempts. */
const RETRY_MS = 2 * RECONNECT_WAIT_MS

/**
 * Connects to NATS for the first time.
 *
 * @throws GatewayError NATS_UNREACHABLE when no server answers in time; at once NATS_REFUSED when one refuses the
 *   credentials, and NATS_WITHOUT_TLS when it offers none and must; the reason of `stop`
 */
export async function connectNats(
  settings: GatewaySettings,
  logger: Logger,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<NatsConnection> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await connect(buildOptions(settings))
    } catch (cause) {
      if (hasCode(cause, ErrorCode.AuthorizationViolation) || hasCode(cause, ErrorCode.BadAuthentication)) {
        const message = 'NATS refuses the credentials; check IM_NATS_USER and IM_NATS_PASSWORD, or IM_NATS_TOKEN'
        throw new GatewayError('NATS_REFUSED', message, { cause, retryable: false })
      }
      if (hasCode(cause, ErrorCode.ServerOptionNotAvailable)) {
        const message = 'NATS offers no TLS, which tls:// asks for; set it up there, or correct IM_NATS_SERVERS'
        throw new GatewayError('NATS_WITHOUT_TLS', message, { cause, retryable: false })
      }
      const message = `no NATS server answers at ${settings.natsServers.map(withoutCredentials).join(', ')}; check IM_NATS_SERVERS`
      logger.warn({ err: cause }, message)
      if (performance.now() > deadline) throw new GatewayError('NATS_UNREACHABLE', message, { cause, retryable: true })
      await delay(RETRY_MS, undefined, { signal: stop })
    }
  }
}

/** Connects again, after a connection was given up; undefined when `stop` aborted first. */
export async function reconnectNats(
  settings: GatewaySettings,
  logger: Logger,
  stop: AbortSignal,
): Promise<NatsConnection | undefined> {
  while (!stop.aborted) {
    try {
      const fresh = await connect(buildOptions(settings))
      if (!stop.aborted) return fresh
      await fresh.close()
    } catch (err) {
      logger.debug({ err }, 'NATS cannot be reached; trying again')
      await delay(RETRY_MS, undefined, { signal: stop }).catch(() => undefined)
    }
  }
  return undefined
}

function buildOptions(settings: GatewaySettings): ConnectionOptions {
  const options: ConnectionOptions = {
    servers: [...settings.natsServers],
    name: `im-gateway ${settings.brokerId}`,
    timeout: CONNECT_TIMEOUT_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_WAIT_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
  }
  if (settings.natsUser !== '') Object.assign(options, { user: settings.natsUser, pass: settings.natsPassword })
  if (settings.natsToken !== '') options.token = settings.natsToken
  // Before the credentials leave, and also of servers that others name.
  if (settings.natsServers.some((server) => /^tls:/i.test(server))) options.tls = {}
  return options
}

function hasCode(error: unknown, wanted: ErrorCode): boolean {
  const { code } = error as { code?: unknown }
  return code === wanted
}

function withoutCredentials(server: string): string {
  return server.replace(/\/\/[^@/]*@/, '//')
}
