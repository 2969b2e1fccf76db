import assert from 'node:assert/strict'
import { once, EventEmitter } from 'node:events'
import { after, describe, it } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import type { Incarnation } from '../brokers/broker.ts'
import { brokerField, type Keys } from '../keys.ts'
import { createIncarnation, freshKeys, openRedis } from '../test-kit.ts'
import { Inbox } from './inbox.ts'
import { ListSwitch } from './list-switch.ts'
import type { TurnedLists } from './lists-to-streams.ts'

const server = await startRedis({ persistent: false })
const { redis, ...client } = await openRedis(server.url)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const to = { appId: 1, userId: 'bob' }
const options = { leaseMs: 10, retentionMs: 60_000, cursorRetentionMs: 60_000, dedupeMs: 60_000 }

async function register(keys: Keys, incarnation: Incarnation): Promise<void> {
  await redis.hset(keys.brokers(), brokerField(incarnation.brokerId, incarnation.bootId), JSON.stringify(incarnation))
}

async function unregister(keys: Keys, { brokerId, bootId }: Incarnation): Promise<void> {
  await redis.hdel(keys.brokers(), brokerField(brokerId, bootId))
}

function setUp() {
  const keys = freshKeys()
  const inbox = new Inbox(redis, keys)
  const append = (messageId: string) =>
    inbox.append({ to, from: 'alice', clientType: 1, messageId, payload: Buffer.from(messageId) })
  return { keys, inbox, append, former: createIncarnation('gw-0'), writer: lister('gw-1', 'write') }
}

function lister(brokerId: string, lists: 'write' | 'read'): Incarnation {
  return { ...createIncarnation(brokerId), lists }
}

/** A switch of a gateway that is registered, and what it tells, in order. */
async function openSwitch(keys: Keys, lists: 'write' | 'read', leaseMs = options.leaseMs) {
  const own = lister('gw-2', lists)
  await register(keys, own)
  const emitter = new EventEmitter()
  const told: string[] = []
  const tell = (name: string, detail: unknown = '') => {
    told.push(`${name} ${JSON.stringify(detail)}`)
    emitter.emit(name, detail)
  }
  const found = await ListSwitch.open(
    redis,
    keys,
    own,
    { ...options, leaseMs },
    {
      switched: () => tell('switched'),
      held: (by, late) => tell('held', [by.length, late]),
      turnedBack: (lists) => tell('turnedBack', lists),
      failed: (error) => tell('failed', String(error)),
    },
  )
  const next = async (name: string): Promise<unknown> => (await once(emitter, name))[0]
  const turned = async () => (await next('turnedBack')) as TurnedLists
  return { found, told, next, turned, [Symbol.asyncDispose]: () => found[Symbol.asyncDispose]() }
}

describe('a gateway that comes when lists are written', () => {
  it('writes them at once', async () => {
    const { keys, writer } = setUp()
    await redis.set(keys.inboxFormat(), 'lists')
    await register(keys, writer)
    await using opened = await openSwitch(keys, 'write')
    assert.equal(opened.found.writesLists, true)
    assert.deepEqual(opened.told, ['switched ""'])
  })

  it('writes none while one of 0.2.0 is registered, and tells of that', async () => {
    const { keys, former } = setUp()
    await redis.set(keys.inboxFormat(), 'lists')
    await register(keys, former)
    await using opened = await openSwitch(keys, 'write')
    assert.equal(opened.found.writesLists, false)
    assert.deepEqual(opened.told, ['held [1,true]'])
    const switched = opened.next('switched')
    const over = opened.next('held')
    await unregister(keys, former)
    await switched
    assert.deepEqual(await over, [0, true])
  })
})

it('one of 0.2.0 that holds lists up, and one that comes later, are told apart', async () => {
  const { keys, former } = setUp()
  await register(keys, former)
  await using opened = await openSwitch(keys, 'write')
  assert.deepEqual(opened.told, ['held [1,false]'])
  const switched = opened.next('switched')
  await unregister(keys, former)
  await switched
  const held = opened.next('held')
  await register(keys, former)
  assert.deepEqual(await held, [1, true])
})

describe('the way back to streams', () => {
  it('holds no start up', async () => {
    const { keys, append } = setUp()
    await append('m1')
    await using opened = await openSwitch(keys, 'read', 60_000)
    assert.equal(await redis.type(keys.inboxMeta(to)), 'string')
    assert.deepEqual(opened.told, [])
  })

  it('is gone again when lists were written since, or Redis was set back', async () => {
    const { keys, former, writer, append } = setUp()
    await append('m1')
    await using opened = await openSwitch(keys, 'read')
    assert.deepEqual(await opened.turned(), { turned: 1, left: 0 })
    const seen = opened.next('held')
    await register(keys, writer)
    // Only to hear of the look that finds both.
    await register(keys, former)
    await seen
    await redis.del(keys.inboxMeta(to), keys.inboxStream(to))
    await append('m2')
    const again = opened.turned()
    await unregister(keys, writer)
    assert.equal((await again).turned, 1)
    await redis.del(keys.inboxMeta(to), keys.inboxStream(to))
    await append('m3')
    const restored = opened.turned()
    opened.found.restore()
    assert.equal((await restored).turned, 1)
  })

  it('is tried again where an inbox is left', async () => {
    const { keys, append } = setUp()
    await append('m1')
    await redis.set(keys.inboxStream(to), 'foreign')
    await using opened = await openSwitch(keys, 'read')
    assert.equal((await opened.turned()).left, 1)
    const again = opened.turned()
    await redis.del(keys.inboxStream(to))
    let lists = await again
    while (lists.left > 0) lists = await opened.turned()
    assert.equal(lists.turned, 1)
  })
})
