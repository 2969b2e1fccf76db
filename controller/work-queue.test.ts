import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { backoffDelay, orAbort } from './timing.ts'
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts'

const backoff = { baseMs: 5, maxMs: 20 }

/** A queue that runs, and what was started, in order. */
function startQueue(options: WorkQueueOptions) {
  const stop = new AbortController()
  const queue = new WorkQueue({ backoff, shutdownMs: 1_000, ...options })
  const running = queue.run(stop.signal)
  const dispose = async () => {
    stop.abort()
    await running
  }
  return { queue, stop, running, [Symbol.asyncDispose]: dispose }
}

/** A reconcile that tells when it starts and ends when told. */
function createGate() {
  const starts: string[] = []
  const waiting: { key: string; finish: (error?: Error) => void }[] = []
  let wake = Promise.withResolvers<void>()
  const reconcile = async (key: string): Promise<undefined> => {
    starts.push(key)
    const done = Promise.withResolvers<void>()
    waiting.push({ key, finish: (error) => (error === undefined ? done.resolve() : done.reject(error)) })
    wake.resolve()
    wake = Promise.withResolvers()
    await done.promise
  }
  const started = async (count: number): Promise<void> => {
    while (starts.length < count) await wake.promise
  }
  return { starts, waiting, reconcile, started }
}

describe('a work queue', () => {
  test('works once on a key that was added often, in the order of adding', async () => {
    const gate = createGate()
    await using running = startQueue({ reconcile: gate.reconcile, concurrency: 1 })
    for (const key of ['a', 'b', 'a', 'c', 'b', 'c']) running.queue.add(key)
    for (let i = 0; i < 3; i += 1) {
      await gate.started(i + 1)
      gate.waiting[i]?.finish()
    }
    await running.queue.drain()
    assert.deepEqual(gate.starts, ['a', 'b', 'c'])
  })

  test('never works on a key twice at once, but again when it was added meanwhile', async () => {
    const gate = createGate()
    await using running = startQueue({ reconcile: gate.reconcile })
    running.queue.add('a')
    await gate.started(1)
    for (let i = 0; i < 3; i += 1) running.queue.add('a')
    running.queue.add('b')
    await gate.started(2)
    assert.deepEqual(gate.starts, ['a', 'b'])
    gate.waiting[0]?.finish()
    await gate.started(3)
    assert.deepEqual(gate.starts, ['a', 'b', 'a'])
    for (const { finish } of gate.waiting) finish()
    await running.queue.drain()
    assert.equal(gate.starts.length, 3, 'once only')
  })

  test('works on so many keys at once and no more', async () => {
    let active = 0
    let most = 0
    const done = Promise.withResolvers<void>()
    let left = 20
    await using running = startQueue({
      concurrency: 3,
      reconcile: async () => {
        active += 1
        most = Math.max(most, active)
        await delay(1)
        active -= 1
        left -= 1
        if (left === 0) done.resolve()
        return undefined
      },
    })
    for (let i = 0; i < 20; i += 1) running.queue.add(`key-${i}`)
    await done.promise
    assert.equal(most, 3)
  })

  test('tries a failed key again, later each time, and from the start after a success', async () => {
    const times: number[] = []
    const done = Promise.withResolvers<void>()
    const errors: (string | undefined)[] = []
    await using running = startQueue({
      backoff: { baseMs: 40, maxMs: 160 },
      hooks: { finished: (_key, _ms, error) => errors.push(error?.message) },
      reconcile: () => {
        times.push(performance.now())
        if (times.length <= 4) return Promise.reject(new Error(`failure ${times.length}`))
        done.resolve()
        return Promise.resolve(undefined)
      },
    })
    running.queue.add('a')
    await done.promise
    const waits = times.slice(1).map((time, i) => time - (times[i] ?? 0))
    for (const [i, least] of [20, 40, 80, 80].entries()) assert.ok((waits[i] ?? 0) >= least - 1, `${i}: ${waits[i]}`)
    assert.deepEqual(errors.slice(0, 4), ['failure 1', 'failure 2', 'failure 3', 'failure 4'])
  })

  test('waits as long as an error asks', async () => {
    const times: number[] = []
    const done = Promise.withResolvers<void>()
    await using running = startQueue({
      reconcile: () => {
        times.push(performance.now())
        if (times.length === 1) return Promise.reject(Object.assign(new Error('busy'), { retryAfterMs: 200 }))
        done.resolve()
        return Promise.resolve(undefined)
      },
    })
    running.queue.add('a')
    await done.promise
    assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 199)
  })

  test('comes back when a reconcile asks for it, once, at the earliest of the times', async () => {
    const times: number[] = []
    const third = Promise.withResolvers<void>()
    await using running = startQueue({
      reconcile: () => {
        times.push(performance.now())
        if (times.length === 3) third.resolve()
        return Promise.resolve(times.length < 3 ? { requeueAfterMs: 60 } : undefined)
      },
    })
    running.queue.addAfter('a', 60_000)
    running.queue.addAfter('a', 30)
    running.queue.addAfter('a', 90_000)
    const added = performance.now()
    await third.promise
    assert.ok((times[0] ?? 0) - added >= 29)
    assert.ok((times[2] ?? 0) - (times[0] ?? 0) >= 119)
  })

  test('aborts a reconcile at its deadline, and holds the key of one that goes on', async () => {
    const overdue: string[] = []
    const errors: unknown[] = []
    const failed = Promise.withResolvers<void>()
    const told = Promise.withResolvers<void>()
    const deaf = Promise.withResolvers<undefined>()
    const starts: string[] = []
    await using running = startQueue({
      deadlineMs: 30,
      backoff: { baseMs: 60_000, maxMs: 60_000 },
      hooks: {
        overdue: (key) => {
          overdue.push(key)
          if (key === 'deaf') told.resolve()
        },
        finished: (key, _ms, error) => {
          errors.push(error)
          if (key === 'good') failed.resolve()
        },
      },
      reconcile: (key, signal) => {
        starts.push(key)
        if (key === 'deaf') return deaf.promise
        return orAbort(Promise.withResolvers<undefined>().promise, signal)
      },
    })
    running.queue.add('good')
    running.queue.add('deaf')
    await Promise.all([failed.promise, told.promise])
    running.queue.add('deaf')
    await delay(20)
    assert.deepEqual(starts, ['good', 'deaf'])
    assert.deepEqual(overdue.toSorted(), ['deaf', 'good'])
    assert.equal((errors[0] as { code?: string }).code, 'RECONCILE_OVERDUE')
    deaf.resolve(undefined)
  })

  test('drains: what runs may end, what waits is dropped, nothing starts any more', async () => {
    const gate = createGate()
    const running = startQueue({ reconcile: gate.reconcile, concurrency: 1 })
    running.queue.add('a')
    running.queue.add('b')
    running.queue.addAfter('c', 10)
    await gate.started(1)
    const drained = running.queue.drain()
    running.queue.add('d')
    let ended = false
    void running.running.then(() => {
      ended = true
    })
    await delay(30)
    assert.ok(!ended, 'it waits for the one that runs')
    gate.waiting[0]?.finish()
    await drained
    await running.running
    assert.deepEqual([gate.starts, running.queue.depth, running.queue.active], [['a'], 0, 0])
  })

  test('aborts what runs when it is stopped, waits for its end, but not for ever', async () => {
    const events: string[] = []
    const started = Promise.withResolvers<void>()
    const heeding = startQueue({
      reconcile: async (_key, signal) => {
        started.resolve()
        await once(signal, 'abort')
        await delay(20)
        events.push('reconcile ended')
        return undefined
      },
    })
    heeding.queue.add('a')
    await started.promise
    heeding.stop.abort()
    await heeding.running
    events.push('queue ended')
    assert.deepEqual(events, ['reconcile ended', 'queue ended'])

    const deaf = startQueue({ shutdownMs: 30, reconcile: () => Promise.withResolvers<undefined>().promise })
    deaf.queue.add('a')
    await Promise.resolve()
    deaf.stop.abort()
    await deaf.running
    assert.equal(deaf.queue.active, 1)
  })

  test('tells its hooks depth and waits', async () => {
    const depths: number[] = []
    const waits: number[] = []
    const gate = createGate()
    const hooks = {
      depth: (waiting: number) => depths.push(waiting),
      started: (_: string, ms: number) => waits.push(ms),
    }
    await using running = startQueue({ reconcile: gate.reconcile, concurrency: 1, hooks })
    running.queue.add('a')
    running.queue.add('b')
    await gate.started(1)
    assert.deepEqual(depths, [1, 0, 1])
    gate.waiting[0]?.finish()
    await gate.started(2)
    gate.waiting[1]?.finish()
    assert.deepEqual(depths, [1, 0, 1, 0])
    assert.ok(waits.length === 2 && waits.every((ms) => ms >= 0))
  })

  test('keeps no process alive once it has stopped', async () => {
    const url = new URL('work-queue.ts', import.meta.url).href
    const script = `
      import { WorkQueue } from ${JSON.stringify(url)}
      const stop = new AbortController()
      const queue = new WorkQueue({ reconcile: async () => ({ requeueAfterMs: 3600000 }) })
      queue.addAfter('later', 3600000)
      queue.add('now')
      const running = queue.run(stop.signal)
      setImmediate(() => stop.abort())
      await running
      queue.addAfter('too late', 3600000)`
    const args = ['--input-type=module', '--eval', script]
    await promisify(execFile)(process.execPath, args, {
      timeout: 20_000,
      cwd: fileURLToPath(new URL('.', import.meta.url)),
    })
  })
})

test('a back-off doubles up to its cap, and is random in its upper half', () => {
  const options = { baseMs: 200, maxMs: 60_000 }
  for (const [failures, full] of [
    [1, 200],
    [2, 400],
    [5, 3_200],
    [9, 51_200],
    [10, 60_000],
    [5_000, 60_000],
  ] as const) {
    const delays = Array.from({ length: 50 }, () => backoffDelay(failures, options))
    assert.ok(
      delays.every((delay) => delay >= full / 2 && delay <= full),
      `${failures}: ${delays.join()}`,
    )
    assert.ok(new Set(delays).size > 1)
  }
})
