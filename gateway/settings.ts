import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { z } from 'zod'
import { EVERY_ADDRESS } from '../server/address.ts'
import {
  buildSettingsTable as buildTable,
  choice,
  integer,
  list,
  milliseconds,
  port,
  readSettings,
  setting,
  text,
  type SettingsOf,
} from '../server/settings.ts'
import { MAX_DEVICES, parseDevicePolicy } from '../session/device-policy.ts'
import { defaults } from '../session/defaults.ts'
import { GatewayError } from './errors.ts'
import { defaultMemoryBudget, leastMemoryBudget } from './memory/memory-limit.ts'

/** Every environment variable of the gateway starts with this. */
const PREFIX = 'IM_'
/** Those of the `im` command, which a developer may have set for both. */
const COMMAND_VARIABLES = ['URL', 'TOKEN']
/** Where the operator mounts the Secrets. */
export const DEFAULT_SECRETS_DIRECTORY = '/etc/im-cluster/secrets'
const DAY = 24 * 60 * 60 * 1000

/** Every setting of the gateway, in the order of the docs. */
const table = {
  BROKER_ID: setting(
    // The name is a token of the NATS subject `broker.<id>`, so it may hold no dot, wildcard or white space.
    z
      .string()
      .default(() => hostname())
      .pipe(z.string().regex(/^[A-Za-z0-9_-]{1,63}$/, 'must be 1 to 63 letters, digits, - or _ (the pod name)')),
    'host name',
    'brokerId: the pod name',
  ),
  BROKER_HOST: text('127.0.0.1', 'brokerHost: the pod IP'),
  POD_UID: text(() => randomUUID(), 'UID of the pod; without one, each process counts as a pod of its own', 'random'),
  REDIS_URL: text(
    'redis://127.0.0.1:6379',
    'Redis: `redis://`, `rediss://`, `redis-cluster://host,host`, `redis-sentinel://host,host/master`',
  ),
  KEY_PREFIX: text('im:', 'prefix of every Redis key'),
  NATS_SERVERS: setting(
    list
      .default(['nats://127.0.0.1:4222'])
      .pipe(
        z.array(
          z
            .string()
            .regex(
              /^((nats|tls):\/\/)?([^@/\s]*@)?([^@/\s:[\]]+|\[[\da-f:.]+\])(:\d{1,5})?\/?$/i,
              'must be nats://host:port or tls://host:port, with an IPv6 address in brackets',
            ),
        ),
      ),
    'nats://127.0.0.1:4222',
    'NATS servers, separated by commas; where one is `tls://host:port` none is spoken to without TLS',
  ),
  NATS_USER: text('', 'NATS user'),
  NATS_PASSWORD: text('', 'NATS password'),
  NATS_TOKEN: text('', 'NATS token, instead of user and password'),
  SUBJECT_PREFIX: setting(
    z
      .string()
      .default('')
      .pipe(z.string().regex(/^([A-Za-z0-9_-]+\.)*$/, 'must be empty or end in a dot, like `prod.`')),
    '',
    'prefix of every NATS subject, ending in a dot',
  ),
  LISTEN_HOST: text(
    '',
    'address that all listeners bind to; by default all of the machine, IPv6 and IPv4',
    EVERY_ADDRESS,
  ),
  SECRETS_DIRECTORY: text(
    DEFAULT_SECRETS_DIRECTORY,
    'files named like the secret settings, such as `IM_AUTH_SECRET`; they replace the environment and are read again when they change',
  ),
  TCP_PORT: port(9000, 'port of raw TCP'),
  WS_PORT: port(8080, 'port of WebSocket'),
  ADMIN_PORT: port(9090, 'port of /livez, /readyz, /metrics and, for other gateways, /links'),
  TLS_CERT_FILE: text('', 'PEM certificate chain; with it both listeners speak TLS, and a changed file is read again'),
  TLS_KEY_FILE: text('', 'PEM private key'),
  AUTH_MODE: choice(['secret', 'jwks', 'none'], 'secret', 'how tokens are checked; `none` believes `<appId>:<userId>`'),
  AUTH_SECRET: text('', 'HS256 secret, at least 32 bytes (RFC 7518, 3.2)', ''),
  AUTH_FORMER_SECRET: text('', 'another one that is accepted beside it, while tokens of both are about'),
  AUTH_JWKS_URL: text('', 'URL of the JSON Web Key Set for RS256, ES256 and EdDSA'),
  AUTH_ISSUER: text('', 'required `iss` claim; empty for any'),
  AUTH_AUDIENCE: text('', 'required `aud` claim; empty for any'),
  AUTH_USER_CLAIM: text('sub', 'claim that holds the userId'),
  AUTH_APP_CLAIM: text('app', 'claim that holds the appId'),
  AUTH_APPS: setting(
    list.default([]).pipe(
      z.array(
        z
          .string()
          .regex(/^\d{1,10}$/, 'must be appIds separated by commas')
          .transform(Number),
      ),
    ),
    'any',
    'appIds served here, separated by commas',
  ),
  DEVICE_POLICY: setting(
    z
      .string()
      .default('unlimited')
      .transform((value, context) => {
        try {
          return parseDevicePolicy(value)
        } catch (error) {
          context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
          return z.NEVER
        }
      }),
    'unlimited',
    '`single`, `dual`, `triple`, `unlimited` (up to `IM_MAX_DEVICES`), or a JSON table of device classes',
  ),
  MAX_DEVICES: integer(
    defaults.maxDevices,
    [1, MAX_DEVICES],
    'devices of a user online at once, whatever the policy; past it the one that logged in first is closed',
  ),
  LOGIN_TIMEOUT_MS: milliseconds(10_000, 'a connection not logged in by then is closed'),
  HEARTBEAT_MS: milliseconds(25_000, 'how often a client is asked to ping'),
  IDLE_TIMEOUT_MS: milliseconds(60_000, 'a connection that sends no frame for this long is closed'),
  FRAME_TIMEOUT_MS: milliseconds(15_000, 'a frame begun and not finished by then ends the connection'),
  MAX_FRAME_BYTES: integer(65_536, [1_024, 524_288], 'longest frame accepted, in bytes'),
  MAX_CONNECTIONS: integer(100_000, [1, 10_000_000], 'connections held at once'),
  MAX_PENDING_LOGINS: integer(
    5_000,
    [1, 1_000_000],
    'connections that have not sent their login yet; past it the oldest is closed',
  ),
  MAX_IN_FLIGHT_SENDS: integer(64, [1, 65_536], 'unanswered sends of a connection; past it no more is read from it'),
  MAX_FRAMES_PER_SECOND: integer(
    1_000,
    [1, 1_000_000],
    'frames read from a connection, on average; past it reading waits',
  ),
  MAX_BUFFERED_BYTES: integer(
    1_048_576,
    [65_536, 1_073_741_824],
    'bytes waiting for one client before delivery pauses',
  ),
  MEMORY_BUDGET_BYTES: setting(
    z
      .string()
      .regex(/^\d+$/, 'must be a whole number')
      .optional()
      .transform((value) => (value === undefined ? defaultMemoryBudget() : Number(value)))
      .pipe(z.number().max(2 ** 40, `must be at most ${2 ** 40}`)),
    'an eighth of the memory limit',
    'bytes held for clients, Redis and NATS together; see [memory](operations.md#memory)',
  ),
  SLOW_CONSUMER_TIMEOUT_MS: milliseconds(30_000, 'a connection whose delivery pauses for this long is closed'),
  INBOX_MAX_LENGTH: integer(
    defaults.maxLength,
    [1, 10_000_000],
    'messages retained per inbox (trimmed in blocks, so somewhat more)',
  ),
  INBOX_RETENTION_MS: setting(
    integer(defaults.retentionMs, [1_000, 3650 * DAY], '').schema,
    String(defaults.retentionMs),
    'how long a message is retained (7 days)',
  ),
  CURSOR_RETENTION_MS: setting(
    integer(defaults.cursorRetentionMs, [1_000, 3650 * DAY], '').schema,
    String(defaults.cursorRetentionMs),
    'how long the cursors of an idle user are retained (90 days)',
  ),
  INBOX_FORMAT: choice(
    ['list', 'stream'],
    'list',
    '`stream` turns all inboxes back to what 0.2.0 reads; see [upgrade](operations.md#upgrade)',
  ),
  DEDUPE_MS: milliseconds(
    defaults.dedupeMs,
    'how long a retry with the same messageId is recognised, where messages are retained for so long',
  ),
  OFFLINE_RETENTION_MS: milliseconds(
    defaults.offlineRetentionMs,
    'how long a session stays in the directory as offline',
  ),
  LEASE_MS: milliseconds(defaults.leaseMs, 'life of the lease; renewed three times in that', 300),
  VERIFY_ROUND_MS: milliseconds(
    600_000,
    'how long the slow round takes that compares all sessions and heads with Redis, for losses of which nothing tells',
  ),
  ROUTE_CACHE_MS: milliseconds(5_000, 'how long the route of a transient message is believed'),
  REDIS_TIMEOUT_MS: milliseconds(defaults.redisTimeoutMs, 'deadline of one Redis command'),
  DRAIN_RATE: integer(200, [1, 1_000_000], 'clients told to go away per second'),
  DRAIN_DEADLINE_MS: milliseconds(30_000, 'connections left by then are closed'),
  DRAIN_JITTER_MS: milliseconds(2_000, 'a client told to go away waits a random time up to this', 0),
  LOG_LEVEL: choice(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    'info',
    'least level that is logged',
  ),
} as const

/** The gateway's settings, read and checked: `IM_BROKER_ID` is `brokerId`. Times are in milliseconds. */
export type GatewaySettings = SettingsOf<typeof table>

/**
 * Reads the settings from an environment. An empty variable counts as not set.
 *
 * @throws GatewayError SETTINGS_INVALID that lists every mistake, also of `IM_` variables that no setting has
 */
export function parseSettings(env: Readonly<Record<string, string | undefined>>): GatewaySettings {
  const { settings, mistakes } = readSettings(PREFIX, table, env, COMMAND_VARIABLES)
  if (mistakes.length === 0) mistakes.push(...conflicts(settings))
  if (mistakes.length > 0) throw new GatewayError('SETTINGS_INVALID', mistakes.join('; '), { retryable: false })
  return settings
}

function conflicts(read: GatewaySettings): string[] {
  const mistakes: string[] = []
  const { authMode, authJwksUrl } = read
  mistakes.push(...findKeyMistakes(read))
  if (authMode === 'jwks' && !URL.canParse(authJwksUrl)) {
    mistakes.push('IM_AUTH_JWKS_URL must be a URL when IM_AUTH_MODE is jwks')
  }
  if ((read.tlsCertFile === '') !== (read.tlsKeyFile === '')) {
    mistakes.push('IM_TLS_CERT_FILE and IM_TLS_KEY_FILE must be set together')
  }
  if (read.heartbeatMs >= read.idleTimeoutMs) {
    mistakes.push('IM_HEARTBEAT_MS must be less than IM_IDLE_TIMEOUT_MS, or every client is closed as idle')
  }
  const least = leastMemoryBudget(read.maxFrameBytes)
  if (read.memoryBudgetBytes < least) {
    mistakes.push(`IM_MEMORY_BUDGET_BYTES must be at least ${least} with this IM_MAX_FRAME_BYTES, or large frames wait`)
  }
  if (read.dedupeMs <= read.redisTimeoutMs) {
    mistakes.push('IM_DEDUPE_MS must be more than IM_REDIS_TIMEOUT_MS, or a retry may be stored twice')
  }
  return mistakes
}

/** What is wrong with the keys of tokens. */
export function findKeyMistakes(read: Pick<GatewaySettings, 'authMode' | 'authSecret' | 'authFormerSecret'>): string[] {
  const { authMode, authSecret, authFormerSecret } = read
  const mistakes: string[] = []
  if (authMode === 'secret' && Buffer.byteLength(authSecret) < 32) {
    mistakes.push('IM_AUTH_SECRET must have at least 32 bytes when IM_AUTH_MODE is secret')
  }
  if (authFormerSecret !== '' && Buffer.byteLength(authFormerSecret) < 32) {
    mistakes.push('IM_AUTH_FORMER_SECRET must have at least 32 bytes, or be empty')
  }
  return mistakes
}

/** The table of settings for the docs, in Markdown. */
export function buildSettingsTable(): string {
  return buildTable(PREFIX, table)
}
