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

for (const [code, number] of [
  ['token_invalid', 4209],
  ['token_expired', 4210],
] as const) {
  test(`after ${code} the function is asked once more for each login that worked`, async () => {
    await using gateway = await ScriptedGateway.start()
    let made = 0
    await using client = connect(buildOptions(gateway.url, { token: () => `t${(made += 1)}` }))
    const first = await gateway.admit()
    first.close(number)
    const second = await gateway.admit()
    assert.equal(second.login.token, 't2')
    await client.ready()
    second.close(number)
    const third = await gateway.connection()
    assert.equal((await third.next('login')).token, 't3')
    third.close(number)
    assert.equal((await client.closed).code, code)
    assert.deepEqual([made, gateway.count], [3, 3])
  })

  test(`${code} at the first login does not end a client whose function has a better token`, async () => {
    await using gateway = await ScriptedGateway.start()
    const tokens = ['old key', 'new key']
    await using client = connect(buildOptions(gateway.url, { token: () => tokens.shift() ?? 'none left' }))
    const refused = await gateway.connection()
    assert.equal((await refused.next('login')).token, 'old key')
    refused.close(number)
    assert.equal((await gateway.admit()).login.token, 'new key')
    await client.ready()
  })

  test(`${code} with a token that is a string ends the client`, async () => {
    await using gateway = await ScriptedGateway.start()
    await using client = connect(buildOptions(gateway.url))
    ;(await gateway.admit()).close(number)
    assert.equal((await client.closed).code, code)
    assert.equal(gateway.count, 1)
  })
}

test('a connection that ends for its token while a hand-over asks for a better one does not end the client', async () => {
  await using gateway = await ScriptedGateway.start()
  const [asked, later] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()]
  const askAgain = () => {
    asked.resolve()
    return later.promise
  }
  const tokens = [() => 'old key', askAgain]
  await using client = connect(buildOptions(gateway.url, { token: () => tokens.shift()?.() ?? 'none left' }))
  const old = await gateway.admit()
  old.send({ type: 'goAway', delayMs: 0, deadlineMs: 60_000 })
  const refused = await gateway.connection()
  assert.equal((await refused.next('login')).token, 'old key')
  refused.close(4209)
  assert.equal(await Promise.race([asked.promise, client.closed]), undefined)
  const ended = nextEvent(client, 'disconnected')
  old.close(4209)
  assert.equal((await ended).code, 'token_invalid')
  later.resolve('new key')
  assert.equal((await gateway.admit()).login.token, 'new key')
  await client.ready()
})

test('a login does not begin with a token whose renewal was refused', async () => {
  await using gateway = await ScriptedGateway.start()
  let made = 0
  await using client = connect(buildOptions(gateway.url, { token: () => `t${(made += 1)}` }))
  const failed = nextEvent(client, 'error')
  const connection = await gateway.admit({ expiresAt: Date.now() + 3_000 })
  const renew = await connection.next('renew')
  connection.send({ type: 'error', requestId: renew.requestId, code: 4209, message: '' })
  await failed
  connection.destroy()
  assert.notEqual((await gateway.admit()).login.token, renew.token)
})

test('a token function that fails or hangs is tried again', async () => {
  await using gateway = await ScriptedGateway.start()
  const results = [() => Promise.reject(new Error('no network')), () => new Promise<string>(() => {}), () => 'good']
  await using client = connect(
    buildOptions(gateway.url, { connectTimeoutMs: 1_000, token: () => (results.shift() ?? (() => 'good'))() }),
  )
  const codes: string[] = []
  client.on('disconnected', ({ code }) => void codes.push(code))
  assert.equal((await gateway.admit()).login.token, 'good')
  assert.deepEqual(codes, ['token_failed', 'token_failed'])
})
