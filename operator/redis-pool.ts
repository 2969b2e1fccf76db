import { awaitReady, closeRedis, connectRedis, type RedisClient } from '../session/redis/redis.ts'
import type { SessionError } from '../session/errors.ts'
import { defaults } from '../session/defaults.ts'

const READY_TIMEOUT_MS = 3_000

interface Entry {
  readonly client: RedisClient
  /** Keys of the clusters that use it. */
  readonly users: Set<string>
  lastError: SessionError | undefined
}

/** Connections to Redis, one for each URL however many clusters name it. */
export class RedisPool implements AsyncDisposable {
  readonly #entries = new Map<string, Entry>()

  /**
   * The connection of a cluster. A new one is waited for; one that is known to fail is not, so that clusters whose Redis is
   * away keep no worker from the others: it goes on trying by itself. While a cluster's new URL does not work, its former one
   * serves: a password may be changed in the Secret before it is at Redis.
   *
   * @throws SessionError `redis_url_invalid`, or `redis_unavailable` when it is not ready in time
   */
  async use(key: string, url: string): Promise<RedisClient> {
    const formers = [...this.#entries].filter(([other, { users }]) => other !== url && users.has(key))
    const former = formers.map(([, { client }]) => client).find(({ status }) => status === 'ready')
    let entry = this.#entries.get(url)
    this.#leave(key, (client) => client === former || client === entry?.client)
    if (entry === undefined) {
      const created: Entry = {
        client: connectRedis(url, {
          connectionName: 'im-operator',
          commandTimeoutMs: defaults.redisTimeoutMs,
          onError: (error) => (created.lastError = error),
        }),
        users: new Set(),
        lastError: undefined,
      }
      created.client.on('ready', () => (created.lastError = undefined))
      entry = created
      this.#entries.set(url, entry)
    }
    entry.users.add(key)
    try {
      await awaitReady(entry.client, entry.lastError === undefined ? READY_TIMEOUT_MS : 0)
      const { client } = entry
      this.#leave(key, (other) => other === client)
      return client
    } catch (error) {
      if (former?.status === 'ready') return former
      // It says why, where the time-out only says that.
      entry.lastError ??= error as SessionError
      throw entry.lastError
    }
  }

  /** The cluster needs no connection any more. */
  release(key: string): void {
    this.#leave(key, () => false)
  }

  #leave(key: string, stays: (client: RedisClient) => boolean): void {
    for (const [url, { client, users }] of this.#entries) {
      if (stays(client) || !users.delete(key) || users.size > 0) continue
      this.#entries.delete(url)
      void closeRedis(client)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [...this.#entries.values()].map(({ client }) => client)
    this.#entries.clear()
    await Promise.all(clients.map((client) => closeRedis(client)))
  }
}
