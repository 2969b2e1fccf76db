import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { encodeBinary } from '../../protocol/binary.ts'
import { subprotocols } from '../../protocol/frames.ts'
import { encodeJson } from '../../protocol/json.ts'
import { buildLogin, connectTcp, connectWebSocket, type RawClient } from '../../test/kit/raw-client.ts'
import { eventually, loginTcp, openBench, readMetric, startWitnesses, type TestBench } from '../test-bench.ts'

/** More than is worked on at once, by far. */
const CLIENTS = 100
const MAX_SILENT = 10
const STORM = 600

let bench: TestBench

before(async () => {
  bench = await openBench()
})

after(() => bench[Symbol.asyncDispose]())

const destroyAll = (clients: readonly RawClient[]) => clients.forEach((client) => client.destroy())

test('logins that wait for Redis are all answered, however many come after them', async () => {
  const { redis } = bench
  const gateway = await bench.start('gw-0', {
    MAX_PENDING_LOGINS: String(MAX_SILENT),
    LOGIN_TIMEOUT_MS: '60000',
    REDIS_TIMEOUT_MS: '50000',
    LEASE_MS: '60000',
  })
  const clients: RawClient[] = []
  process.kill(redis.pid, 'SIGSTOP')
  try {
    // So few at once that none gives way for being silent.
    while (clients.length < CLIENTS) {
      const some = await Promise.all(Array.from({ length: MAX_SILENT }, () => connectTcp(gateway.tcpUrl)))
      for (const client of some) {
        client.send(buildLogin({ token: `1:user-${clients.length}` }))
        clients.push(client)
      }
      await eventually(
        () => readMetric(gateway, 'im_pending_logins'),
        (count) => count === 0,
        'logins that have not come',
      )
    }
    assert.equal(await readMetric(gateway, 'im_logins_total{result="accepted"}'), 0)
  } finally {
    process.kill(redis.pid, 'SIGCONT')
  }
  await Promise.all(clients.map((client) => client.next('loggedIn')))
  assert.equal(await readMetric(gateway, 'im_waiting_logins'), 0)
  assert.equal(await readMetric(gateway, 'im_logins_total{result="accepted"}'), CLIENTS)
  destroyAll(clients)
})

test('a client that gives up while its login waits leaves nothing, and keeps nobody waiting', async () => {
  const { redis } = bench
  const gateway = await bench.start('gw-1', { LOGIN_TIMEOUT_MS: '60000', REDIS_TIMEOUT_MS: '50000', LEASE_MS: '60000' })
  const clients: RawClient[] = []
  process.kill(redis.pid, 'SIGSTOP')
  try {
    for (let n = 0; n < CLIENTS; n++) {
      const client = await connectTcp(gateway.tcpUrl)
      client.send(buildLogin({ token: `1:leaver-${n}` }))
      clients.push(client)
    }
    await eventually(
      () => readMetric(gateway, 'im_frames_received_total{type="login"}'),
      (count) => count === CLIENTS,
      'logins that have come',
    )
    const stays = clients.pop()
    destroyAll(clients)
    await eventually(
      () => readMetric(gateway, 'im_connections{transport="tcp"}'),
      (count) => count === 1,
      'connections',
    )
    process.kill(redis.pid, 'SIGCONT')
    await stays?.next('loggedIn')
    stays?.destroy()
  } finally {
    process.kill(redis.pid, 'SIGCONT')
  }
  assert.equal(await readMetric(gateway, 'im_waiting_logins'), 0)
  assert.equal(await readMetric(gateway, 'im_logins_total{result="accepted"}'), 1)
})

for (const way of ['closes its WebSocket', 'sends more and hangs up'] as const) {
  test(`a client that ${way} while its login is worked on does not take the place of the one that is there`, async () => {
    const { redis } = bench
    const gateway = await bench.start(way === 'closes its WebSocket' ? 'gw-3' : 'gw-4', {
      LOGIN_TIMEOUT_MS: '60000',
      REDIS_TIMEOUT_MS: '50000',
      LEASE_MS: '60000',
    })
    const read = (series: string, wanted: number) =>
      eventually(
        () => readMetric(gateway, series),
        (value) => value === wanted,
        series,
      )
    const token = `1:${gateway.brokerId}`
    const stays = await loginTcp(gateway, { token })
    process.kill(redis.pid, 'SIGSTOP')
    try {
      if (way === 'closes its WebSocket') {
        const socket = new WebSocket(gateway.wsUrl, subprotocols.json)
        await once(socket, 'open')
        socket.send(encodeJson(buildLogin({ token })))
        await read('im_frames_received_total{type="login"}', 2)
        socket.close()
      } else {
        const client = await connectTcp(gateway.tcpUrl)
        client.send(buildLogin({ token }))
        await read('im_frames_received_total{type="login"}', 2)
        await client.sendRaw(encodeBinary({ type: 'ping' }))
        client.destroy()
      }
      await eventually(
        async () => {
          const counts = ['tcp', 'websocket'].map((kind) => readMetric(gateway, `im_connections{transport="${kind}"}`))
          return (await Promise.all(counts)).join()
        },
        (counts) => counts === '1,0',
        'connections',
      )
    } finally {
      process.kill(redis.pid, 'SIGCONT')
    }
    await read('im_logins_total{result="gone"}', 1)
    await stays.sync()
    assert.ok(stays.open)
    stays.destroy()
  })
}

test('hundreds of clients at once all get in at the first attempt, and what is live goes on', async () => {
  const gateway = await bench.start('gw-2', { LOGIN_TIMEOUT_MS: '60000' })
  const witnesses = await startWitnesses(gateway, {
    names: ['witness-1', 'witness-2'],
    tcp: { token: '1:witness-1' },
    webSocket: { token: '1:witness-2' },
  })
  const clients = await Promise.all(
    Array.from({ length: STORM }, async (_, n) => {
      const overTcp = n % 2 === 0
      const client = overTcp
        ? await connectTcp(gateway.tcpUrl)
        : await connectWebSocket(gateway.wsUrl, { subprotocol: subprotocols.binary })
      await client.login({ token: `1:storm-${n}` })
      return client
    }),
  )
  assert.equal(await readMetric(gateway, 'im_logins_total{result="accepted"}'), STORM + 2)
  assert.ok(clients.every((client) => client.open))
  for (const code of ['login_timeout', 'overloaded']) {
    assert.equal(await readMetric(gateway, `im_closes_total{code="${code}"}`), 0, code)
  }
  await witnesses.stop()
  destroyAll(clients)
})
