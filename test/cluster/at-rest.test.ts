import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { RawClient } from '../kit/raw-login.ts'
import { TestCluster } from '../kit/test-cluster.ts'

const USERS = 400
const WINDOW_MS = 8_000
/** What a gateway asks for itself, and what it may ask for a user; in a second. */
const OWN = 15
const OF_USER = 0.01

describe('users at rest', () => {
  it('ask next to nothing of Redis', async () => {
    await using cluster = await TestCluster.start({ gateways: ['gw-0'] })
    await using stack = new AsyncDisposableStack()
    for (let first = 0; first < USERS; first += 50) {
      const logins = Array.from({ length: 50 }, (_, at) =>
        RawClient.login(cluster.gateway('gw-0'), { user: `user-${first + at}` }),
      )
      for (const client of await Promise.all(logins)) stack.use(client)
    }
    const { redis } = cluster.store
    const countCommands = async () => Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1])
    const [before, startedAt] = [await countCommands(), performance.now()]
    await delay(WINDOW_MS)
    const commands = (await countCommands()) - before
    const seconds = (performance.now() - startedAt) / 1_000
    const most = (OWN + OF_USER * USERS) * seconds
    assert.ok(commands > 0 && commands <= most, `${commands} commands in ${seconds.toFixed(1)} s; ${most} at the most`)
  })
})
