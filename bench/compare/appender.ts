import { randomUUID } from 'node:crypto'
import { nextTick } from 'node:process'
import { openSession } from './session-code.ts'

/** A gateway's process that is no more, as session/ names it. */
export interface DeadIncarnation {
  readonly brokerId: string
  readonly podUid: string
  readonly bootId: string
}

export interface AppenderOptions {
  /** Recipients, in turn; each has one session. */
  readonly users: number
  /** Appends, or logins, sent at once. */
  readonly pipeline: number
  /** Bytes of a message. */
  readonly payload: number
  /** Whose sessions they are; by default those of a new one. */
  readonly incarnation?: DeadIncarnation
}

/** The session/ of a checkout, with users who have logged in. */
export interface Appender extends AsyncDisposable {
  /** Appends so many messages; resolves when all are in. */
  append(count: number): Promise<void>
}

/** Connects the session/ of the checkout in `folder` to a Redis, and logs in the users. */
export async function openAppender(
  folder: string,
  redisUrl: string,
  options: AppenderOptions,
  prefix = 'user',
): Promise<Appender> {
  await using stack = new AsyncDisposableStack()
  const { redis, inbox, directory } = stack.use(await openSession(folder, redisUrl))
  const { users, pipeline } = options
  const own = options.incarnation ?? { brokerId: 'bench-0', podUid: randomUUID(), bootId: randomUUID() }
  const { brokerId } = own
  const incarnation = `${own.podUid}/${own.bootId}`
  const place = { clientType: 1, imei: 'bench', version: '', brokerId, brokerHost: '127.0.0.1', incarnation }
  const recipients = Array.from({ length: users }, (_, index) => ({ appId: 1, userId: `${prefix}-${index}` }))
  for (let at = 0; at < users; at += pipeline) {
    const logins = recipients.slice(at, at + pipeline)
    await Promise.all(logins.map((user) => directory.login({ ...user, ...place, connectionId: randomUUID() })))
  }

  const payload = new Uint8Array(options.payload)
  let next = 0
  const appendOne = async (): Promise<void> => {
    const to = recipients[next++ % users]
    if (to) await inbox.append({ to, from: 'sender', clientType: 1, messageId: randomUUID(), payload })
  }
  const running = stack.move()
  return {
    async append(count) {
      for (let done = 0; done < count; done += pipeline) {
        // Written to the connection at once; on a cluster there are several.
        if ('stream' in redis) {
          const { stream } = redis
          stream.cork()
          nextTick(() => stream.uncork())
        }
        await Promise.all(Array.from({ length: Math.min(pipeline, count - done) }, appendOne))
      }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
