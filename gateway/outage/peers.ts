import { get } from 'node:http'
import { connect } from 'node:net'
import type { Incarnation, Lease } from '../../session/brokers/broker.ts'
import type { Keys } from '../../session/keys.ts'
import { sampleLeases } from '../../session/brokers/lease.ts'
import { parseRedisUrl } from '../../session/redis/redis-url.ts'
import type { RedisClient } from '../../session/redis/redis.ts'
import type { PeerAnswer } from './cut-off.ts'
import { parseLinkReport } from './link-report.ts'
import type { GatewaySettings } from '../settings.ts'

/** Entries of the register that are looked at, some of which are dead; and gateways that are remembered of them. */
const SAMPLE = 16
const MAX_PEERS = 8
const REFRESH_MS = 10_000
/** While it knows none: those that started together are not all there yet. */
const HASTY_REFRESH_MS = 2_000
/** Less than what is between two rounds. */
const ANSWER_TIMEOUT_MS = 900
const MAX_ANSWER_BYTES = 4_096
const MAX_SERVERS = 3
const NATS_PORT = 4222

interface Peer extends Pick<Lease, 'brokerId' | 'bootId' | 'host'> {
  readonly adminPort: number
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** A few other gateways, learned from Redis before it is away, to be asked over HTTP. */
export class Peers {
  readonly #redis: RedisClient
  readonly #keys: Keys
  readonly #bootId: string
  #known: readonly Peer[] = []
  #refreshedAt = -Infinity

  constructor(redis: RedisClient, keys: Keys, { bootId }: Incarnation) {
    this.#redis = redis
    this.#keys = keys
    this.#bootId = bootId
  }

  get size(): number {
    return this.#known.length
  }

  /** Chooses anew, when it is time to. Rejects while Redis is away. */
  async refresh(): Promise<void> {
    const age = performance.now() - this.#refreshedAt
    if (age < (this.#known.length === 0 ? HASTY_REFRESH_MS : REFRESH_MS)) return
    this.#refreshedAt = performance.now()
    const leases = await sampleLeases(this.#redis, this.#keys, SAMPLE)
    const peers = leases.flatMap(({ brokerId, bootId, host, adminPort }) =>
      adminPort === undefined || host === '' || bootId === this.#bootId ? [] : [{ brokerId, bootId, host, adminPort }],
    )
    this.#known = peers.slice(0, MAX_PEERS)
  }

  /** Asks all of them at once. Takes a second at the most; never rejects. */
  ask(): Promise<PeerAnswer[]> {
    return Promise.all(this.#known.map(askPeer))
  }
}

function askPeer({ bootId, host, adminPort: port }: Peer): Promise<PeerAnswer> {
  const askedAt = performance.now()
  const { promise, resolve } = Promise.withResolvers<PeerAnswer>()
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
  const request = get({ host, port, path: '/links', agent: false, signal }, (response) => {
    let body = ''
    response.setEncoding('utf8').on('data', (text: string) => {
      body += text
      if (body.length > MAX_ANSWER_BYTES) request.destroy()
    })
    response.on('end', () => {
      const report = parseLinkReport(body)
      // Another gateway may have the address by now, even one of another cluster.
      resolve(report?.bootId === bootId ? { askedAt, report } : 'refused')
    })
    response.on('error', () => resolve('refused'))
  })
  request.on('error', (error) => resolve(isRefusal(error) ? 'refused' : 'silent'))
  return promise
}

/** Whether anything comes back from one of these addresses, be it a refusal. Takes a second at the most; never rejects. */
export async function reachesAny(addresses: readonly Address[]): Promise<boolean> {
  return (await Promise.all(addresses.map(reaches))).includes(true)
}

function reaches({ host, port }: Address): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
  socket.on('connect', () => resolve(true))
  socket.on('error', (error) => resolve(isRefusal(error)))
  return promise.finally(() => socket.destroy())
}

/** Where Redis and NATS are by the settings, at most a few places of each. */
export function findServers({
  redisUrl,
  natsServers,
}: Pick<GatewaySettings, 'redisUrl' | 'natsServers'>): readonly Address[] {
  const nats = natsServers.map((server): Address => {
    const { hostname, port } = new URL(server.includes('://') ? server : `nats://${server}`)
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || NATS_PORT) }
  })
  return [...parseRedisUrl(redisUrl).hosts.slice(0, MAX_SERVERS), ...nats.slice(0, MAX_SERVERS)]
}

/** Somebody out there said no, or hung up. */
function isRefusal(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET' || error.code === 'HPE_INVALID_CONSTANT'
}
