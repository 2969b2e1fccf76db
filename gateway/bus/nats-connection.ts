import { setTimeout as delay } from 'node:timers/promises'
import { connect, ErrorCode, type ConnectionOptions, type NatsConnection } from 'nats'
import { GatewayError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { SecretValues } from '../secrets/secrets.ts'
import type { GatewaySettings } from '../settings.ts'

const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_WAIT_MS = 250
/** A server that answers no ping for twice this is given up. */
const PING_MS = 2_000
export const NATS_REFUSES =
  'NATS refuses the credentials; check IM_NATS_USER and IM_NATS_PASSWORD, or IM_NATS_TOKEN, and what NATS expects'
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
  secrets: () => SecretValues,
  logger: Logger,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<NatsConnection> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await connect(buildOptions(settings, secrets))
    } catch (cause) {
      if (isRefusal(cause)) throw new GatewayError('NATS_REFUSED', NATS_REFUSES, { cause, retryable: false })
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

/** Connects again, after a connection was given up; undefined when `stop` aborted first. `refused` is told when it is the credentials. */
export async function reconnectNats(
  settings: GatewaySettings,
  secrets: () => SecretValues,
  refused: () => void,
  logger: Logger,
  stop: AbortSignal,
): Promise<NatsConnection | undefined> {
  while (!stop.aborted) {
    try {
      const fresh = await connect(buildOptions(settings, secrets))
      if (!stop.aborted) return fresh
      await fresh.close()
    } catch (err) {
      logger.debug({ err }, 'NATS cannot be reached; trying again')
      if (isRefusal(err)) refused()
      await delay(RETRY_MS, undefined, { signal: stop }).catch(() => undefined)
    }
  }
  return undefined
}

/**
 * Connects with some credentials, and leaves at once.
 *
 * @throws Error that says why NATS cannot be used with them
 */
export async function probeNats(settings: GatewaySettings, values: SecretValues): Promise<void> {
  try {
    const options = { ...buildOptions(settings, () => values), reconnect: false, maxReconnectAttempts: 0 }
    const nats = await connect({ ...options, name: `im-gateway ${settings.brokerId} probe` })
    await nats.close()
  } catch (cause) {
    const reason = isRefusal(cause) ? 'NATS refuses them' : 'no NATS server answers'
    throw new Error(reason, { cause })
  }
}

/** Whether it is the credentials that NATS does not take. */
export function isRefusal(error: unknown): boolean {
  return hasCode(error, ErrorCode.AuthorizationViolation) || hasCode(error, ErrorCode.BadAuthentication)
}

function buildOptions(settings: GatewaySettings, secrets: () => SecretValues): ConnectionOptions {
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
    // Also when the password is changed there before it is here.
    ignoreAuthErrorAbort: true,
    // Asked at each connect.
    authenticator: () => {
      const { natsUser, natsPassword, natsToken } = secrets()
      if (natsUser !== '') return { user: natsUser, pass: natsPassword }
      return natsToken === '' ? undefined : { auth_token: natsToken }
    },
  }
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
