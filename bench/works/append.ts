import { openAppendSubject } from '../compare/append.ts'
import { openAppender } from '../compare/appender.ts'
import { connectForInfo, readInfo } from '../measure/redis-info.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { openRawAppends } from './raw-appends.ts'
import type { Figures, Work, WorkContext } from './work.ts'

const APPENDS = 100_000
const USERS = 200
const PIPELINE = 100
const PAYLOAD_BYTES = 128
const SLICES = 5
/** Users whose inboxes are weighed, and messages after the first of each. */
const WEIGHED = 1000
const FURTHER = 99

export const append: Work = {
  name: 'append',
  title: 'What Redis spends on a stored message',
  description:
    'Appends of 128 bytes to the inboxes of 200 users with a session each, 100 at once, by the code of session/ without any gateway: ' +
    'CPU time of Redis, the time of that in scripts, and CPU time of the caller. Then the memory of Redis: of a session, of the only ' +
    'message of each of 1,000 users, of each of 99 more, and how much of a message is there to recognise a retry. "redis" is RPUSH of ' +
    'as many bytes, 100 at once, as a limit.',
  peers: ['im', 'redis'],
  columns: {
    redis: { title: 'Redis µs', decimals: 2 },
    scripts: { title: 'scripts µs', decimals: 2 },
    caller: { title: 'caller µs', decimals: 2 },
    session: { title: 'session B', decimals: 0 },
    first: { title: 'first message B', decimals: 0 },
    further: { title: 'further message B', decimals: 0 },
    dedupe: { title: 'of it for retries B', decimals: 0 },
  },
  plots: [
    { kind: 'bars', name: 'cpu', title: 'CPU µs of Redis per append', columns: ['redis'] },
    { kind: 'bars', name: 'memory', title: 'Bytes of Redis for a further message of 128 bytes', columns: ['further'] },
  ],
  estimateSeconds: (peers, rounds) => rounds * (peers > 1 ? 24 : 21),
  run: runAppends,
}

async function runAppends(context: WorkContext): Promise<void> {
  const { rounds, root, scale } = context
  const count = Math.ceil((APPENDS * scale) / SLICES)
  for (let round = 1; round <= rounds; round++) {
    await using stack = new AsyncDisposableStack()
    const subjects = []
    for (const name of context.peers) {
      context.step(`round ${round} of ${rounds}: ${name}`)
      const options = { appends: count * SLICES, users: USERS, pipeline: PIPELINE, payload: PAYLOAD_BYTES }
      const open = name === 'im' ? openAppendSubject(root, options, SLICES) : openRawAppends(count, options)
      subjects.push({ name, subject: stack.use(await open), slices: [] as Figures[] })
    }
    for (let slice = 0; slice < SLICES; slice++) {
      for (const { subject, slices } of subjects) slices.push(await subject.measure())
    }
    for (const { name, slices } of subjects) {
      const memory = name === 'im' ? await weigh(context) : {}
      context.record(name, { ...averageOf(slices), ...memory })
    }
  }
}

function averageOf(slices: readonly Figures[]): Figures {
  const keys = Object.keys(slices[0] ?? {})
  const mean = (key: string) => slices.reduce((sum, slice) => sum + (slice[key] ?? 0), 0) / slices.length
  return Object.fromEntries(keys.map((key) => [key, mean(key)]))
}

/** Bytes of Redis of a session with its entry in the index, of a user's first message, of a further one, and of what knows retries. */
async function weigh(context: WorkContext): Promise<Figures> {
  context.step('weighing sessions and messages')
  const { root } = context
  const weighed = Math.ceil(WEIGHED * Math.min(1, Math.max(0.3, context.scale)))
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startRedis({ persistent: false }))
  using client = connectForInfo(server.url)
  const read = () => readInfo(client, 'memory', 'used_memory')
  const options = { users: weighed, pipeline: PIPELINE, payload: PAYLOAD_BYTES }
  // What a connection and the scripts take is not weighed.
  stack.use(await openAppender(root, server.url, { ...options, users: 1 }, 'warm-up'))
  const empty = await read()
  const appender = stack.use(await openAppender(root, server.url, options))
  const loggedIn = await read()
  await appender.append(weighed)
  const first = await read()
  await appender.append(weighed * FURTHER)
  const further = await read()
  // The second is 0.2.0's.
  for (const pattern of ['*:seen:*', '*:dedupe:*']) {
    let cursor = '0'
    do {
      const [next, keys] = await client.scan(cursor, 'MATCH', pattern, 'COUNT', 5000)
      cursor = next
      if (keys.length > 0) await client.del(...keys)
    } while (cursor !== '0')
  }
  const all = weighed * (1 + FURTHER)
  return {
    session: (loggedIn - empty) / weighed,
    first: (first - loggedIn) / weighed,
    further: (further - first) / (weighed * FURTHER),
    dedupe: (further - (await read())) / all,
  }
}
