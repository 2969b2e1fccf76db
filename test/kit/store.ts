import { deviceField, indexMember, Keys } from '../../session/keys.ts'
import { readIncarnations } from '../../session/brokers/cleanup.ts'
import { readClientsCutOff } from '../../session/brokers/clients-cut-off.ts'
import { readLeases } from '../../session/brokers/lease.ts'
import { awaitReady, closeRedis, connectRedis, type RedisClient } from '../../session/redis/redis.ts'
import { formatUserSession, parseUserSession, type UserSession } from '../../session/user-session.ts'
import { parseIncarnation, type Lease } from '../../session/brokers/broker.ts'
import { PATIENCE_MS } from './wait.ts'

/** What Redis holds of a cluster, as an operator with redis-cli would see it. */
export class Store implements AsyncDisposable {
  readonly redis: RedisClient
  readonly keys: Keys
  readonly #prefix: string

  private constructor(redis: RedisClient, prefix: string) {
    this.redis = redis
    this.keys = new Keys(prefix)
    this.#prefix = prefix
  }

  static async open(url: string, prefix = 'im:'): Promise<Store> {
    const redis = connectRedis(url, { connectionName: 'test', commandTimeoutMs: 3000, onError: () => undefined })
    await awaitReady(redis, PATIENCE_MS)
    return new Store(redis, prefix)
  }

  /** Every stored session, online or not. */
  async sessions(): Promise<UserSession[]> {
    const keys = await this.redis.keys(`${this.#prefix}{*}:sessions`)
    const hashes = await Promise.all(keys.map((key) => this.redis.hvals(key)))
    return hashes.flat().map(parseUserSession)
  }

  /** The stored sessions of a user of app 1. */
  async sessionsOf(userId: string): Promise<UserSession[]> {
    return (await this.redis.hvals(this.keys.sessions({ appId: 1, userId }))).map(parseUserSession)
  }

  /** Writes a session as the gateway that it names would: into its index first. */
  async writeSession(session: UserSession): Promise<void> {
    const { bootId } = parseIncarnation(session.incarnation)
    await this.redis.sadd(this.keys.index(session.brokerId, bootId), indexMember(session, session))
    await this.redis.hset(this.keys.sessions(session), deviceField(session), formatUserSession(session))
  }

  async lease(brokerId: string): Promise<Lease | undefined> {
    return (await readLeases(this.redis, this.keys, [brokerId])).get(brokerId)
  }

  /** What a gateway told when it left. */
  clientsCutOff(brokerId: string, bootId: string): Promise<number> {
    return readClientsCutOff(this.redis, this.keys, { brokerId, bootId })
  }

  /** What is left of a boot: sessions by `user/imei`, and the names of the keys that know it. */
  async traces(bootId: string): Promise<string[]> {
    const sessions = (await this.sessions()).filter(({ incarnation }) => incarnation.endsWith(`/${bootId}`))
    const indexes = await this.redis.keys(`${this.#prefix}broker:{*}:${bootId}:sessions`)
    const registered = (await readIncarnations(this.redis, this.keys)).filter((entry) => entry.bootId === bootId)
    const leases = await Promise.all(registered.map(({ brokerId }) => this.lease(brokerId)))
    return [
      ...sessions.map(({ userId, imei }) => `session ${userId}/${imei}`),
      ...indexes.map(() => 'index'),
      ...registered.map(() => 'register'),
      ...leases.flatMap((lease) => (lease?.bootId === bootId ? ['lease'] : [])),
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeRedis(this.redis)
  }
}
