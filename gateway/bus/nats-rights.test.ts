import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startGateway, type GatewayOptions } from '../../test/kit/servers/gateway-process.ts'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { buildSend } from '../../test/kit/raw-client.ts'
import { startRedis, type RedisServer } from '../../test/kit/servers/redis-server.ts'
import { parseLinkReport } from '../outage/link-report.ts'
import { eventually, loginTcp, readMetric } from '../test-bench.ts'

let redis: RedisServer

before(async () => {
  redis = await startRedis({ persistent: false })
})

after(() => redis[Symbol.asyncDispose]())

const login = { user: 'im', pass: 'right' }
const all = { publish: 'broker.*', subscribe: 'broker.*' }

function startLimited(rights: object, port?: number) {
  const users = [{ user: login.user, password: login.pass, permissions: rights }]
  return startNats({ login, config: JSON.stringify({ authorization: { users } }), ...(port !== undefined && { port }) })
}

function optionsFor(brokerId: string, natsUrl: string): GatewayOptions {
  const env = { IM_NATS_USER: login.user, IM_NATS_PASSWORD: login.pass, IM_LEASE_MS: '1500' }
  return { brokerId, redisUrl: redis.url, natsUrl, env }
}

async function askReady({ adminUrl }: { adminUrl: string }): Promise<string> {
  const response = await fetch(`${adminUrl}/readyz`)
  return `${response.status} ${await response.text()}`
}

for (const [right, rights] of Object.entries({
  'subscribe to broker.gw-0': { ...all, subscribe: 'broker.other' },
  'publish to broker.gw-0': { ...all, publish: 'broker.other' },
})) {
  test(`a gateway that may not ${right} ends with one line that says so`, { timeout: 60_000 }, async () => {
    await using nats = await startLimited(rights)
    await using target = await startGateway({ ...optionsFor('gw-0', nats.url), skipReady: true })
    assert.deepEqual(await target.exited, { code: 1, signal: null })
    const fatal = target.logs().filter(({ level }) => level === 60)
    assert.deepEqual(
      fatal.map(({ code, msg }) => [code, msg]),
      [
        [
          'NATS_FORBIDDEN',
          `NATS does not let this user ${right}; it must publish to broker.* and subscribe to broker.gw-0`,
        ],
      ],
    )
    assert.ok(!JSON.stringify(target.logs()).includes('TypeError'))
  })
}

test('a gateway that may not reach another one says so while it goes on', async () => {
  await using nats = await startLimited({ ...all, publish: 'broker.gw-1' })
  await using near = await startGateway(optionsFor('gw-1', nats.url))
  // In its directory gw-2 is a gateway like any other.
  await using other = await startNats()
  const options = optionsFor('gw-2', other.url)
  // Nothing tells it of what it is not sent: only the round over all finds that.
  await using far = await startGateway({ ...options, env: { ...options.env, IM_VERIFY_ROUND_MS: '2000' } })
  await using bob = await loginTcp(far, { token: '1:bob' })
  await using alice = await loginTcp(near, { token: '1:alice' })
  assert.equal(await askReady(near), '200 ok\n')
  for (const requestId of [1, 2]) {
    alice.send(buildSend('bob', 'hello', { requestId }))
    await alice.next('accepted')
  }
  const words =
    'NATS does not let this user publish to broker.gw-2; it must publish to broker.* and subscribe to broker.gw-1'
  await eventually(
    () => askReady(near),
    (text) => text === `200 ok\n${words}\n`,
    'what /readyz says',
  )
  assert.equal(await readMetric(near, 'im_trouble{reason="NatsForbidden"}'), 1)
  assert.equal(near.logs().filter(({ msg }) => msg === words).length, 1, 'told once')
  await bob.next('message')
})

test('a right that is taken away is told, and the gateway goes on when it is back', async () => {
  const nats = await startLimited(all)
  await using stack = new AsyncDisposableStack()
  stack.use(nats)
  const target = stack.use(await startGateway(optionsFor('gw-3', nats.url)))
  await nats.stop()
  const limited = await startLimited({ ...all, subscribe: 'broker.other' }, nats.port)
  await eventually(
    () => askReady(target),
    // It is the only one: nobody has what it lacks.
    (text) => text.startsWith('200 ok\nNATS does not let this user subscribe to broker.gw-3;'),
    'what /readyz says',
  )
  const works = async () => {
    const report = parseLinkReport(await (await fetch(`${target.adminUrl}/links`)).text())
    return report?.nats.works
  }
  await eventually(works, (answer) => answer === false, 'NATS does not work')
  await limited[Symbol.asyncDispose]()
  await nats.start()
  await eventually(works, (answer) => answer === true, 'NATS works')
})
