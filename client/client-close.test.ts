import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from './index.ts'
import { ScriptedGateway } from './test-gateway.ts'
import { buildOptions, nextEvent } from './test-kit.ts'

for (const kind of ['tcp', 'ws'] as const) {
  test(`over ${kind} closing ends the connection and everything that waits, once`, async () => {
    await using gateway = await ScriptedGateway.start(kind)
    const client = connect(buildOptions(gateway.url))
    const connection = await gateway.admit()
    const sent = client.send('bob', 'x')
    await connection.next('send')
    let closings = 0
    client.on('closed', () => void (closings += 1))
    const rejected = assert.rejects(sent, { code: 'closed', outcome: 'unknown' })
    await Promise.all([client.close(), client.close(), rejected, connection.closed])
    const { code, by } = await client.closed
    assert.deepEqual({ code, by, closings }, { code: 'closed', by: 'client', closings: 1 })
    await assert.rejects(client.send('bob', 'x'), { code: 'closed', outcome: 'not-sent' })
    assert.equal(gateway.count, 1)
  })
}

test('closing breaks off connecting, and waiting to connect', async () => {
  await using gateway = await ScriptedGateway.start()
  const connecting = connect(buildOptions(gateway.url))
  const ready = assert.rejects(connecting.ready(), { code: 'closed' })
  const connection = await gateway.connection()
  await connecting.close()
  await Promise.all([ready, connection.closed])
  const waiting = connect(buildOptions(gateway.url, { backoffBaseMs: 100_000, backoffCapMs: 100_000 }))
  ;(await gateway.connection()).destroy()
  await nextEvent(waiting, 'disconnected')
  await waiting.close()
})

test('logging out says so and waits for the gateway', async () => {
  await using gateway = await ScriptedGateway.start()
  const client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  await client.ready()
  const closed = client.close({ logout: true })
  await connection.next('logout')
  assert.ok(connection.open)
  connection.close(4216)
  await closed
  assert.equal((await client.closed).code, 'closed')
})

test('a gateway that does not answer cannot hold up closing', async () => {
  await using gateway = await ScriptedGateway.start('ws')
  const client = connect(buildOptions(gateway.url))
  const connection = await gateway.admit()
  await client.ready()
  const closed = client.close({ logout: true })
  await connection.next('logout')
  await closed
})

test('an abort signal closes the client', async () => {
  await using gateway = await ScriptedGateway.start()
  const controller = new AbortController()
  const client = connect(buildOptions(gateway.url, { signal: controller.signal }))
  const connection = await gateway.admit()
  controller.abort()
  await connection.closed
  assert.equal((await client.closed).by, 'client')
  const late = connect(buildOptions(gateway.url, { signal: controller.signal }))
  await late.closed
})
