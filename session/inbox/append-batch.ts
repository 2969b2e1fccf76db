import { Cluster } from 'ioredis'
import { atEndOfTurn } from '../../server/cork.ts'
import type { FunctionArgument } from '../functions.ts'
import { callFunction, explain, type RedisClient } from '../redis/redis.ts'

/** One message's part of a call of `append`. */
export interface AppendCall {
  /** Seen, meta, list, sessions. */
  readonly keys: readonly [string, string, string, string]
  readonly args: readonly [digest: Buffer, tail: Buffer]
}
/** What the function says of one message. */
export type AppendReply = [seq: number, time: number, epoch: string, duplicate: 0 | 1, brokers: string]

interface Waiting extends AppendCall {
  readonly resolve: (reply: AppendReply) => void
  readonly reject: (error: unknown) => void
}

/** Redis does nothing else meanwhile: at some 15 µs a message this is a millisecond or two. */
const MAX_MESSAGES = 64
const MAX_BYTES = 1 << 20

/**
 * Appends of one turn of the event loop share a call of Redis' function: what a call costs by itself is more than what the append
 * of one message does. Each has its own result, also when another fails.
 */
export class AppendBatch {
  readonly #redis: RedisClient
  readonly #options: () => readonly FunctionArgument[]
  #waiting: Waiting[] = []

  /** @param options max length, retention, ttl of meta, dedupe window, whether to write lists */
  constructor(redis: RedisClient, options: () => readonly FunctionArgument[]) {
    this.#redis = redis
    this.#options = options
  }

  /** @throws SessionError */
  add({ keys, args }: AppendCall): Promise<AppendReply> {
    if (this.#waiting.length === 0) atEndOfTurn(this.#flush)
    const { promise, resolve, reject } = Promise.withResolvers<AppendReply>()
    this.#waiting.push({ keys, args, resolve, reject })
    return promise
  }

  readonly #flush = (): void => {
    const waiting = this.#waiting
    this.#waiting = []
    // On a cluster a call touches the keys of one slot only.
    const most = this.#redis instanceof Cluster ? 1 : MAX_MESSAGES
    for (let start = 0, end = 0; start < waiting.length; start = end) {
      let bytes = 0
      for (end = start; end < waiting.length && end - start < most && bytes < MAX_BYTES; end++) {
        bytes += waiting[end]?.args[1].length ?? 0
      }
      void this.#send(waiting.slice(start, end))
    }
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const keys = batch.flatMap((call) => call.keys)
    const args = [...this.#options(), ...batch.flatMap<FunctionArgument>((call) => call.args)]
    try {
      const replies = await callFunction(this.#redis, 'append', keys, args)
      for (const [index, call] of batch.entries()) {
        const reply = replies[index]
        if (Array.isArray(reply)) call.resolve(reply)
        else explain(this.#redis, reply, call.keys).then(call.reject, call.reject)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
}
