import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect as connectNats } from 'nats'
import { findFreePort } from '../test/kit/servers/free-port.ts'
import { startGateway, type GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { startNats } from '../test/kit/servers/nats-server.ts'
import { buildSend } from '../test/kit/raw-client.ts'
import { startRedis } from '../test/kit/servers/redis-server.ts'
import { assertCounted, eventually, loginTcp, openBench, readMetric, SECRET, type TestBench } from './test-bench.ts'

let bench: TestBench
let gateway: GatewayProcess

before(async () => {
  bench = await openBench()
  gateway = await bench.start('gw-0')
})

after(() => bench[Symbol.asyncDispose]())

/** Status and body of a path of the admin port. */
async function ask({ adminUrl }: GatewayProcess, path: string, method = 'GET'): Promise<readonly [number, string]> {
  const response = await fetch(adminUrl + path, { method })
  return [response.status, await response.text()]
}

function askUntil(target: GatewayProcess, status: number, body: RegExp): Promise<readonly [number, string]> {
  return eventually(
    () => ask(target, '/readyz').catch((error: unknown) => [0, String(error)] as const),
    ([gotStatus, gotBody]) => gotStatus === status && body.test(gotBody),
    `/readyz does not answer ${status} ${String(body)}`,
  )
}

describe('the admin port', () => {
  test('answers /livez and /readyz', async () => {
    assert.deepEqual(await ask(gateway, '/livez'), [200, 'ok\n'])
    assert.deepEqual(await ask(gateway, '/readyz'), [200, 'ok\n'])
    assert.deepEqual(await ask(gateway, '/readyz?verbose', 'HEAD'), [200, ''])
  })

  test('answers nothing else, and lives on whatever it is asked', async () => {
    assert.equal((await ask(gateway, '/'))[0], 404)
    assert.equal((await ask(gateway, '/livez', 'POST'))[0], 405)
    for (const target of ['//', '*', 'http://', '/%', '/\u00e9', '//[', 'x:y']) {
      const socket = connect(Number(new URL(gateway.adminUrl).port), '127.0.0.1').setEncoding('utf8')
      let answer = ''
      socket.on('data', (data: string) => (answer += data))
      socket.write(`GET ${target} HTTP/1.1\r\nHost: im\r\nConnection: close\r\n\r\n`)
      await once(socket, 'close')
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, target)
    }
    assert.deepEqual(await ask(gateway, '/livez'), [200, 'ok\n'])
  })

  test('/metrics is what Prometheus reads', async () => {
    await using client = await loginTcp(gateway, { token: '1:alice' })
    client.send(buildSend('bob', SECRET))
    await client.next('accepted')
    const response = await fetch(`${gateway.adminUrl}/metrics`)
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
    const text = await response.text()
    const described = new Set<string>()
    for (const line of text.trimEnd().split('\n')) {
      const [, name] = /^# (?:HELP|TYPE) (\w+) \S/.exec(line) ?? []
      if (name !== undefined) described.add(name)
      if (line === '' || line.startsWith('#')) continue
      const [, series = ''] = /^(\w+)(?:\{(?:\w+="[^"\\]*",?)+\})? (?:[-+.\de]+|NaN|[+-]Inf)$/.exec(line) ?? []
      assert.ok(described.has(series.replace(/_(bucket|sum|count)$/, '')) || described.has(series), line)
    }
    for (const name of ['im_connections', 'im_pending_logins', 'im_append_seconds', 'process_resident_memory_bytes']) {
      assert.ok(described.has(name), name)
    }
    assert.equal(await readMetric(gateway, 'im_connections{transport="tcp"}'), 1)
    assert.ok((await readMetric(gateway, 'im_messages_accepted_total{kind="durable"}')) >= 1)
    assert.ok((await readMetric(gateway, 'im_append_seconds_count')) >= 1)
    assert.deepEqual([await readMetric(gateway, 'im_redis_up'), await readMetric(gateway, 'im_nats_up')], [1, 1])
  })
})

describe('readiness', () => {
  test('waits at the start for Redis, then for NATS, and says so', async () => {
    const [redisPort, natsPort] = [await findFreePort(), await findFreePort()]
    await using target = await startGateway({
      brokerId: 'early',
      redisUrl: `redis://127.0.0.1:${redisPort}`,
      natsUrl: `nats://127.0.0.1:${natsPort}`,
      skipReady: true,
    })
    await askUntil(target, 503, /waiting for Redis/)
    assert.deepEqual(await ask(target, '/livez'), [200, 'ok\n'])
    await using redis = await startRedis({ port: redisPort, persistent: false })
    await askUntil(target, 503, /waiting for NATS/)
    await using nats = await startNats({ port: natsPort })
    await target.ready(60_000)
    assert.ok(redis.pid !== nats.pid)
  })

  test('outlives that Redis and NATS go away, which it tells, and come back; connections stay', async () => {
    const [redis, nats] = [await startRedis({ persistent: false }), await startNats()]
    await using stack = new AsyncDisposableStack()
    stack.use(redis)
    stack.use(nats)
    const options = { brokerId: 'outage', redisUrl: redis.url, natsUrl: nats.url, env: { IM_LEASE_MS: '1500' } }
    const target = stack.use(await startGateway(options))
    await using client = await loginTcp(target, { token: '1:alice' })
    await nats.stop('SIGKILL')
    await askUntil(target, 200, /^ok\nNATS does not answer; no other gateway can be asked.*\n$/)
    assert.equal(await readMetric(target, 'im_nats_up'), 0)
    await redis.stop('SIGKILL')
    await askUntil(target, 200, /^ok\nNATS does not answer;.*\nRedis does not answer;.*\n$/)
    await eventually(
      () => readMetric(target, 'im_redis_up'),
      (up) => up === 0,
      'im_redis_up',
    )
    assert.deepEqual(await ask(target, '/livez'), [200, 'ok\n'])

    client.send(buildSend('bob', SECRET))
    assert.equal((await client.next('error')).code, 4001)
    await redis.start()
    await askUntil(target, 200, /^ok\nNATS does not answer;.*\n$/)
    await nats.start()
    await askUntil(target, 200, /^ok\n$/)
    client.send(buildSend('bob', SECRET))
    await client.next('accepted')
  })
})

/** Starts one and checks that it ends with one fatal line of this code. */
async function assertFatal(code: string, message: RegExp, env: Readonly<Record<string, string>>): Promise<void> {
  const { redis, nats } = bench
  const options = { brokerId: `broken-${randomUUID()}`, redisUrl: redis.url, natsUrl: nats.url, env, skipReady: true }
  await using target = await startGateway(options)
  assert.deepEqual(await target.exited, { code: 1, signal: null })
  const lines = target.logs().filter(({ level }) => level === 60)
  assert.deepEqual(
    lines.map((line) => line['code']),
    [code],
  )
  assert.match(String(lines[0]?.['msg']), message)
  assert.ok(target.logs().every((line) => !JSON.stringify(line).includes(SECRET)))
}

describe('a gateway that cannot start', { timeout: 240_000 }, () => {
  test('says which settings are wrong', () =>
    assertFatal('SETTINGS_INVALID', /IM_TCP_PORT must be .*; IM_NO_SUCH is no setting/, {
      IM_TCP_PORT: 'tcp',
      IM_NO_SUCH: '1',
      IM_AUTH_SECRET: SECRET,
    }))

  test('says which port is in use, and how to choose another', async () => {
    const taken = {
      IM_TCP_PORT: gateway.tcpUrl,
      IM_WS_PORT: gateway.tcpUrl,
      IM_ADMIN_PORT: gateway.adminUrl,
    }
    const starts = Object.entries(taken).map(async ([name, url]) => {
      const { port } = new URL(url)
      // The system chooses the others, so that only this one can be in use.
      const ports = { IM_TCP_PORT: '0', IM_WS_PORT: '0', IM_ADMIN_PORT: '0', [name]: port }
      await assertFatal('LISTEN_FAILED', new RegExp(`127.0.0.1:${port}: it is in use.*${name}`), ports)
    })
    await Promise.all(starts)
  })

  test('says which address there is not, and which setting chooses it', async () => {
    const missing = { '192.0.2.1': /192\.0\.2\.1:0: .*EADDRNOTAVAIL/, '[::1]': /\[::1\]:0: .*(ENOTFOUND|EAI_AGAIN)/ }
    for (const [address, message] of Object.entries(missing)) {
      const env = { IM_LISTEN_HOST: address, IM_TCP_PORT: '0', IM_WS_PORT: '0', IM_ADMIN_PORT: '0' }
      const wanted = new RegExp(`${message.source}.*correct IM_LISTEN_HOST`)
      await assertFatal('LISTEN_FAILED', wanted, env)
    }
  })

  test('says at once that NATS refuses the credentials, and which settings they are', async () => {
    await using closed = await startNats({ login: { user: 'im', pass: 'right' } })
    await assertFatal('NATS_REFUSED', /refuses the credentials; check IM_NATS_USER and IM_NATS_PASSWORD/, {
      IM_NATS_SERVERS: closed.url,
      IM_NATS_USER: 'im',
      IM_NATS_PASSWORD: SECRET,
    })
  })

  test('and is told to stop while it waits ends at once and cleanly', async () => {
    const url = `redis://127.0.0.1:${await findFreePort()}`
    const options = { brokerId: 'gw-2', redisUrl: url, natsUrl: bench.nats.url, skipReady: true }
    await using target = await startGateway(options)
    await askUntil(target, 503, /waiting/)
    target.kill('SIGTERM')
    assert.deepEqual(await target.exited, { code: 0, signal: null })
  })
})

test('what cannot be read on the bus is counted, not quoted, and the bus goes on', async () => {
  const other = await bench.startHere('gw-3')
  const nats = await connectNats({ servers: bench.nats.url })
  await using stack = new AsyncDisposableStack()
  stack.defer(() => nats.close())
  const text = new TextEncoder().encode(SECRET)
  const garbage = [
    Uint8Array.of(1, 2, 3),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1),
    Buffer.of(0, 0, 0, text.length, ...text),
  ]
  await using alice = await loginTcp(gateway, { token: '1:carol' })
  await using bob = await loginTcp(other, { token: '1:bob' })
  await assertCounted(
    gateway,
    'im_bus_malformed_total',
    async () => {
      for (const bytes of garbage) nats.publish('broker.gw-0', bytes)
      await nats.flush()
      // What comes behind it on the same subject is read.
      bob.send(buildSend('carol', SECRET))
      await alice.next('message')
    },
    garbage.length,
  )
})
