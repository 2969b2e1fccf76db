import { randomUUID } from 'node:crypto'
import { openAppender } from '../compare/appender.ts'
import { openCleaner } from '../compare/cleaner.ts'
import { startGenerator } from '../load/generator.ts'
import { connectForInfo } from '../measure/redis-info.ts'
import { peers } from '../peers/peers.ts'
import { openSubject } from './subject.ts'
import type { Work, WorkContext } from './work.ts'

const SESSIONS = 100_000
const LIVE_PAIRS = 20
const LIVE_RATE = 500
const WARM_UP_MS = 5000
const LIVE_MS = 4000
/** Redis notes calls that take longer, in µs. */
const SLOW_US = 500

export const w7: Work = {
  name: 'w7',
  title: 'W7: cleanup after a dead gateway',
  description:
    'A gateway that is gone has left 100,000 sessions. The two passes that remove them run by the code of session/, as in operator ' +
    'and gateways, one right after the other, while 20 pairs of users at two gateways send 500 messages a second. The slowest call is ' +
    `what Redis needed for one command, as SLOWLOG tells (from ${SLOW_US} µs on).`,
  peers: ['im'],
  columns: {
    seconds: { title: 'cleanup, s', decimals: 1 },
    first: { title: 'first pass, s', decimals: 1 },
    second: { title: 'second pass, s', decimals: 1 },
    slowestMs: { title: 'slowest Redis call, ms', decimals: 2 },
    calmP99Ms: { title: 'live p99 before, ms', decimals: 1 },
    liveP99Ms: { title: 'live p99, ms', decimals: 1 },
    callerUs: { title: 'caller µs a session', decimals: 1 },
  },
  plots: [],
  estimateSeconds: (_, rounds) => 15 + rounds * 30,
  run: runCleanups,
}

async function runCleanups(context: WorkContext): Promise<void> {
  const { rounds, root, scale, fault } = context
  const sessions = Math.ceil(SESSIONS * scale)
  await using stack = new AsyncDisposableStack()
  const generator = stack.use(startGenerator())
  context.step('starting and warming up')
  const sizes = { gateways: 2, pairs: LIVE_PAIRS, inFlight: 32, payloadBytes: 128 }
  const subject = stack.use(await openSubject(peers.im, generator, { ...sizes, root, fault }))
  const redisUrl = subject.cluster.redisUrl ?? ''
  using client = connectForInfo(redisUrl)
  await subject.run({ ms: WARM_UP_MS * scale, rate: 0 })
  for (let round = 1; round <= rounds; round++) {
    context.step(`round ${round} of ${rounds}: leaving ${sessions} sessions`)
    const dead = { brokerId: `dead-${round}`, podUid: randomUUID(), bootId: randomUUID() }
    const users = { users: sessions, pipeline: 200, payload: 0, incarnation: dead }
    const left = await openAppender(root, redisUrl, users, `left-${round}`)
    await left[Symbol.asyncDispose]()
    const calm = await subject.run({ ms: LIVE_MS * scale, rate: LIVE_RATE })
    context.step(`round ${round} of ${rounds}: cleaning`)
    await using cleaner = await openCleaner(root, redisUrl)
    await client.config('SET', 'slowlog-log-slower-than', String(SLOW_US), 'slowlog-max-len', '4096')
    await client.slowlog('RESET')
    const before = process.cpuUsage()
    const cleaning = new AbortController()
    const live: number[] = []
    const traffic = (async () => {
      while (!cleaning.signal.aborted) live.push((await subject.run({ ms: 1000, rate: LIVE_RATE })).p99Ms)
    })()
    const passes = [await cleaner.pass(dead), await cleaner.pass(dead)]
    const { user, system } = process.cpuUsage(before)
    cleaning.abort()
    await traffic
    const slow = (await client.slowlog('GET', 4096)) as [id: number, time: number, us: number][]
    const gone = passes.reduce((sum, { removed }) => sum + removed, 0)
    if (gone !== sessions || !passes[1]?.finished) throw new Error(`${gone} of ${sessions} sessions were removed`)
    const [first = 0, second = 0] = passes.map(({ ms }) => ms / 1000)
    context.record('im', {
      seconds: first + second,
      first,
      second,
      slowestMs: Math.max(0, ...slow.map(([, , us]) => us)) / 1000,
      calmP99Ms: calm.p99Ms,
      liveP99Ms: Math.max(...live),
      callerUs: (user + system) / sessions,
    })
  }
}
