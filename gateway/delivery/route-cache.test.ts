import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { Place } from '../bus/bus-record.ts'
import { RouteCache } from './route-cache.ts'

const alice = { appId: 1, userId: 'alice' }
const [im0, im1, im2] = ['im-0', 'im-1', 'im-2'].map((brokerId): Place => ({
  brokerId,
  incarnation: `pod/${brokerId}`,
})) as [Place, Place, Place]

/** A cache whose routes live for a second, and a clock that goes on when it is told to. */
function createCache(): { cache: RouteCache; goOn: (ms: number) => void } & Disposable {
  let now = 1_000
  const clock = mock.method(performance, 'now', () => now)
  return { cache: new RouteCache(1_000), goOn: (ms) => (now += ms), [Symbol.dispose]: () => clock.mock.restore() }
}

test('a route is believed until its life is over, counted from when it was set last', () => {
  using setup = createCache()
  const { cache, goOn } = setup
  assert.equal(cache.get(alice), undefined)
  cache.set(alice, [im0])
  goOn(999)
  assert.deepEqual(cache.get(alice), [im0])
  cache.set(alice, [im1, im2])
  goOn(999)
  assert.deepEqual(cache.get(alice), [im1, im2])
  goOn(1)
  assert.equal(cache.get(alice), undefined)
})

test('a route that proved wrong is forgotten', () => {
  using setup = createCache()
  setup.cache.set(alice, [im0])
  setup.cache.delete(alice)
  assert.equal(setup.cache.get(alice), undefined)
})

test('that a user is nowhere is a route as well', () => {
  using setup = createCache()
  setup.cache.set(alice, [])
  assert.deepEqual(setup.cache.get(alice), [])
})

test('users of two apps, and ids with colons, are not mixed up', () => {
  using setup = createCache()
  setup.cache.set({ appId: 1, userId: '2:bob' }, [im0])
  assert.equal(setup.cache.get({ appId: 1, userId: '2' }), undefined)
  assert.equal(setup.cache.get({ appId: 2, userId: 'bob' }), undefined)
  assert.equal(setup.cache.get({ appId: 12, userId: 'bob' }), undefined)
})

test('past the maximum the oldest route gives way', () => {
  const cache = new RouteCache(600_000)
  for (let index = 0; index <= 100_000; index++) cache.set({ appId: 1, userId: `${index}` }, [im0])
  assert.equal(cache.get({ appId: 1, userId: '0' }), undefined)
  assert.deepEqual(cache.get({ appId: 1, userId: '1' }), [im0])
  assert.deepEqual(cache.get({ appId: 1, userId: '100000' }), [im0])
})

test('who asks while a route is read waits for that answer, in order', async () => {
  const cache = new RouteCache(1_000)
  const reads: PromiseWithResolvers<Place[]>[] = []
  const order: number[] = []
  const ask = async (index: number) => {
    await cache.lookUp(alice, () => {
      reads.push(Promise.withResolvers<Place[]>())
      return reads.at(-1)?.promise ?? assert.fail()
    })
    order.push(index)
  }
  const asked = [1, 2, 3].map(ask)
  assert.equal(reads.length, 1)
  reads[0]?.resolve([im0])
  await Promise.all(asked)
  assert.deepEqual(order, [1, 2, 3])
  assert.deepEqual(cache.get(alice), [im0])
})

test('a route is read anew when it proved wrong meanwhile, and when the last read failed', async () => {
  const cache = new RouteCache(1_000)
  const slow = Promise.withResolvers<Place[]>()
  const first = cache.lookUp(alice, () => slow.promise)
  cache.delete(alice)
  assert.deepEqual(await cache.lookUp(alice, () => Promise.resolve([im1])), [im1])
  slow.reject(new Error('Redis is away'))
  await assert.rejects(first, /away/)
  await assert.rejects(
    cache.lookUp(alice, () => Promise.reject(new Error('still away'))),
    /still away/,
  )
  assert.deepEqual(await cache.lookUp(alice, () => Promise.resolve([im2])), [im2])
})
