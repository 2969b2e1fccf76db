import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from './index.ts'
import { ScriptedGateway } from './test-gateway.ts'
import { buildOptions, nextEvent } from './test-kit.ts'

test('a token from a function is renewed before it expires, on the same connection', async () => {
  await using gateway = await ScriptedGateway.start()
  let made = 0
  await using client = connect(buildOptions(gateway.url, { token: () => `t${(made += 1)}` }))
  const connection = await gateway.admit({ expiresAt: Date.now() + 3_000 })
  assert.equal(connection.login.token, 't1')
  const renew = await connection.next('renew')
  assert.equal(renew.token, 't2')
  connection.send({ type: 'renewed', requestId: renew.requestId, expiresAt: 0 })
  // The next login has the token that was renewed.
  connection.destroy()
  assert.equal((await gateway.admit()).login.token, 't2')
  await client.ready()
})

test('a refused renewal is reported and tried again', async () => {
  await using gateway = await ScriptedGateway.start()
  let made = 0
  await using client = connect(buildOptions(gateway.url, { token: async () => `t${(made += 1)}` }))
  const failed = nextEvent(client, 'error')
  const connection = await gateway.admit({ expiresAt: Date.now() + 3_000 })
  const renew = await connection.next('renew')
  connection.send({ type: 'error', requestId: renew.requestId, code: 4209, message: '' })
  assert.equal(((await failed) as { code?: string }).code, 'token_invalid')
  assert.equal((await connection.next('renew')).token, 't3')
})

test('after token_expired a new token is fetched once', async () => {
  await using gateway = await ScriptedGateway.start()
  let made = 0
  await using client = connect(buildOptions(gateway.url, { token: () => `t${(made += 1)}` }))
  const first = await gateway.admit()
  first.close(4210)
  const second = await gateway.admit()
  assert.equal(second.login.token, 't2')
  await client.ready()
  second.close(4210)
  const third = await gateway.connection()
  assert.equal((await third.next('login')).token, 't3')
  third.close(4210)
  assert.equal((await client.closed).code, 'token_expired')
  assert.equal(made, 3)
})

test('token_expired with a token that is a string ends the client', async () => {
  await using gateway = await ScriptedGateway.start()
  await using client = connect(buildOptions(gateway.url))
  ;(await gateway.admit()).close(4210)
  assert.equal((await client.closed).code, 'token_expired')
})

test('a token function that fails or hangs is tried again', async () => {
  await using gateway = await ScriptedGateway.start()
  const results = [() => Promise.reject(new Error('no network')), () => new Promise<string>(() => {}), () => 'good']
  await using client = connect(
    buildOptions(gateway.url, { connectTimeoutMs: 200, token: () => (results.shift() ?? (() => 'good'))() }),
  )
  const codes: string[] = []
  client.on('disconnected', ({ code }) => void codes.push(code))
  assert.equal((await gateway.admit()).login.token, 'good')
  assert.deepEqual(codes, ['token_failed', 'token_failed'])
})
