import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Redis } from 'ioredis'
import { startNats } from './nats-server.ts'
import { startRedis } from './redis-server.ts'

async function exchange<Result>(url: string, use: (redis: Redis) => Promise<Result>): Promise<Result> {
  const redis = new Redis(url, { retryStrategy: null })
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

const readDirectory = async (url: string): Promise<string> => {
  const [, directory = ''] = await exchange(url, (redis) => redis.config('GET', 'dir'))
  return directory
}

describe('a server of a test', () => {
  it('keeps port and accepted data over a crash, and removes the data in the end', async () => {
    let directory: string
    {
      await using server = await startRedis()
      directory = await readDirectory(server.url)
      await exchange(server.url, (redis) => redis.set('key', 'value'))
      const { pid } = server
      await server.stop('SIGKILL')
      assert.deepEqual(await server.exited, { code: null, signal: 'SIGKILL' })
      await server.start()
      assert.notEqual(server.pid, pid)
      assert.equal(await exchange(server.url, (redis) => redis.get('key')), 'value')
    }
    assert.ok(!existsSync(directory))
  })

  it('forgets its data when it is not persistent', async () => {
    await using server = await startRedis({ persistent: false })
    await exchange(server.url, (redis) => redis.set('key', 'value'))
    await server.stop()
    await server.start()
    assert.equal(await exchange(server.url, (redis) => redis.get('key')), null)
  })

  it('ends although it was stopped with SIGSTOP', async () => {
    const server = await startNats()
    process.kill(server.pid, 'SIGSTOP')
    await server[Symbol.asyncDispose]()
    assert.ok(await server.exited)
  })

  it('says that a fixed port is taken, and leaves nothing', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const address = holder.address()
    assert.ok(typeof address === 'object' && address !== null)
    try {
      await assert.rejects(startNats({ port: address.port }), /address already in use/)
      await assert.rejects(startRedis({ port: address.port }), /Address already in use/)
    } finally {
      holder.close()
    }
  })
})
