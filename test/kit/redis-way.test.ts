import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Redis } from 'ioredis'
import { startRedis } from './servers/redis-server.ts'
import { splitReplies } from './redis-replies.ts'
import { RedisWay } from './redis-way.ts'
import { inTime, until } from './wait.ts'

/** A client by this way, and how often it lost its connection. */
async function openClient(way: RedisWay) {
  const url = new URL(way.url)
  const client = new Redis({ port: Number(url.port), host: url.hostname, protocol: 2, maxRetriesPerRequest: 0 })
  client.on('error', () => undefined)
  const losses: string[] = []
  client.on('close', () => void losses.push('close'))
  await client.ping()
  return { client, losses, [Symbol.dispose]: () => client.disconnect() }
}

describe('a way to Redis that hides', () => {
  it('keeps its clients when the server is killed and comes back: what was asked is refused, what comes then waits', async () => {
    await using server = await startRedis()
    await using way = await RedisWay.start(server.url, { hiding: true })
    using user = await openClient(way)
    const { client, losses } = user
    using observer = await openClient(way)
    await client.set('key', 'before')
    const [blocked, behind] = [client.blpop('never', 0), client.get('key')]
    const refused = assert.rejects(blocked, /LOADING/)
    const refusedBehind = assert.rejects(behind, /LOADING/)
    await until('it is asked', async () => String(await observer.client.client('LIST')).includes('cmd=blpop'))
    await server.stop('SIGKILL')
    await inTime('the refusals', Promise.all([refused, refusedBehind]))
    const waiting = client.get('key')
    await server.start()
    assert.equal(await waiting, 'before')
    assert.deepEqual(losses, [])
  })

  it('leads to another server, and no answer of the former one comes after that', async () => {
    await using former = await startRedis({ persistent: false })
    await using next = await startRedis({ persistent: false })
    await using way = await RedisWay.start(former.url, { hiding: true })
    using user = await openClient(way)
    const { client, losses } = user
    await client.set('name', 'former')
    const asked = Array.from({ length: 50 }, () => client.get('name').catch((error: Error) => error.message))
    way.retarget(next.url)
    await client.set('name', 'next')
    assert.equal(await client.get('name'), 'next')
    for (const answer of await Promise.all(asked)) assert.match(String(answer), /^former$|^null$|LOADING/)
    assert.deepEqual(losses, [])
  })
})

describe('a way to Redis', () => {
  it('lets nothing through while it is held', async () => {
    await using server = await startRedis({ persistent: false })
    await using way = await RedisWay.start(server.url)
    await using direct = await RedisWay.start(server.url)
    using user = await openClient(way)
    using other = await openClient(direct)
    way.hold()
    const written = user.client.set('key', 'value')
    // Time enough for it to get through, however fast the machine is.
    for (let turn = 0; turn < 200; turn += 1) assert.equal(await other.client.get('key'), null)
    way.release()
    await written
    assert.equal(await other.client.get('key'), 'value')
  })

  it('ends its clients’ connections with the server', async () => {
    await using server = await startRedis({ persistent: false })
    await using way = await RedisWay.start(server.url)
    using user = await openClient(way)
    await server.stop('SIGKILL')
    await until('the connection ended', () => user.losses.length > 0)
  })
})

describe('splitReplies', () => {
  const replies = [
    '+OK\r\n',
    '-ERR no\r\n',
    ':12\r\n',
    '$-1\r\n',
    '$4\r\na\r\nb\r\n',
    '*-1\r\n',
    '*0\r\n',
    '*2\r\n$1\r\na\r\n*1\r\n:1\r\n',
  ]

  it('finds the whole replies, wherever the bytes were cut', () => {
    const bytes = Buffer.from(replies.join(''))
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const first = splitReplies(bytes.subarray(0, cut))
      const second = splitReplies(Buffer.concat([first.rest, bytes.subarray(cut)]))
      assert.deepEqual([...first.replies, ...second.replies].map(String), replies)
      assert.equal(second.rest.length, 0)
    }
  })

  it('refuses what is no reply', () => {
    assert.throws(() => splitReplies(Buffer.from('HTTP/1.1 400\r\n')), /not a reply/)
  })
})
