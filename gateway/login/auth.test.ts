import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK, type JWTPayload } from 'jose'
import { buildLogin, connectTcp } from '../../test/kit/raw-client.ts'
import { ProtocolError } from '../../protocol/errors.ts'
import { createAuthenticate, type Authenticate } from './auth.ts'
import { createKeySet } from './key-set.ts'
import { parseSettings } from '../settings.ts'
import { eventually, loginTcp, openBench, readMetric, SECRET } from '../test-bench.ts'

/** A signing key and its public half as a key set lists it. */
interface Signer {
  readonly jwk: JWK
  readonly pem: string
  sign(claims?: JWTPayload, header?: { kid?: string; alg?: string }): Promise<string>
}

async function createSigner(alg: string, kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return {
    jwk: { ...(await exportJWK(publicKey)), kid },
    pem: await exportSPKI(publicKey),
    sign: (claims, header) =>
      new SignJWT({ app: 1, sub: 'alice', ...claims })
        .setProtectedHeader({ alg, kid, ...header })
        .setExpirationTime('1h')
        .sign(privateKey),
  }
}

/** A server of key sets. */
interface KeyServer extends AsyncDisposable {
  readonly url: string
  keys: readonly JWK[]
  /** Answers in another way than with the keys. */
  answer: ((response: ServerResponse) => void) | undefined
  fetches: number
  /** Emits `fetch` at each. */
  readonly fetched: EventEmitter
  /** Away: nobody listens on the port. */
  stop(): Promise<void>
  start(): Promise<void>
}

async function startKeyServer(...keys: JWK[]): Promise<KeyServer> {
  const http = createServer((_request, response) => {
    server.fetches += 1
    server.fetched.emit('fetch')
    if (server.answer === undefined) response.end(JSON.stringify({ keys: server.keys }))
    else server.answer(response)
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  const server: KeyServer = {
    url: `http://127.0.0.1:${port}/keys`,
    keys,
    answer: undefined,
    fetches: 0,
    fetched: new EventEmitter(),
    async stop() {
      if (!http.listening) return
      const closed = once(http, 'close')
      http.close()
      http.closeAllConnections()
      await closed
    },
    async start() {
      http.listen(port, '127.0.0.1')
      await once(http, 'listening')
    },
    [Symbol.asyncDispose]: () => server.stop(),
  }
  return server
}

function signBySecret(kid: string, secret: Uint8Array): Promise<string> {
  return new SignJWT({ app: 1, sub: 'alice' }).setProtectedHeader({ alg: 'HS256', kid }).sign(secret)
}

function authenticateBy(env: Readonly<Record<string, string>>): Authenticate {
  const settings = Object.fromEntries(Object.entries(env).map(([name, value]) => [`IM_AUTH_${name}`, value]))
  return createAuthenticate(parseSettings(settings))
}

function authenticateByKeys({ url }: KeyServer): Authenticate {
  return authenticateBy({ MODE: 'jwks', JWKS_URL: url })
}

async function assertRefused(result: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(result, (error) => {
    assert.ok(error instanceof ProtocolError)
    assert.equal(error.code, code)
    assert.ok(!error.message.includes(SECRET))
    return true
  })
}

/** Sets the clock forward for jose and for whoever asks. */
function goOn(ms: number): void {
  const now = Date.now() + ms
  mock.timers.reset()
  mock.timers.enable({ apis: ['Date'], now })
}

afterEach(() => mock.timers.reset())

describe('a key set', () => {
  test('holds keys for RS256, ES256 and EdDSA, fetched once for many logins', async () => {
    const signers = await Promise.all(['RS256', 'ES256', 'EdDSA'].map((alg) => createSigner(alg, alg)))
    await using server = await startKeyServer(...signers.map(({ jwk }) => jwk))
    const authenticate = authenticateByKeys(server)
    const tokens = await Promise.all(signers.map((signer) => signer.sign()))
    const logins = Array.from({ length: 60 }, (_, index) => authenticate(tokens[index % 3] ?? ''))
    for (const principal of await Promise.all(logins)) {
      assert.deepEqual([principal.appId, principal.userId], [1, 'alice'])
      assert.ok(principal.expiresAt > Date.now())
    }
    assert.equal(server.fetches, 1)
  })

  test('that rotates is fetched again for a token of the new key, at once and together for all', async () => {
    const [first, second] = [await createSigner('ES256', 'first'), await createSigner('ES256', 'second')]
    await using server = await startKeyServer(first.jwk)
    const authenticate = authenticateByKeys(server)
    await authenticate(await first.sign())
    server.keys = [second.jwk]
    const token = await second.sign()
    await Promise.all(Array.from({ length: 50 }, () => authenticate(token)))
    assert.equal(server.fetches, 2)
    await assertRefused(authenticate(await first.sign()), 'token_invalid')
  })

  test('is fetched at a bounded rate for a flood of invented key ids, and a new key is taken all the same', async () => {
    const [first, second] = [await createSigner('ES256', 'first'), await createSigner('ES256', 'second')]
    await using server = await startKeyServer(first.jwk)
    const authenticate = authenticateByKeys(server)
    await authenticate(await first.sign())
    const begun = performance.now()
    const invented = await Promise.all(Array.from({ length: 500 }, (_, n) => first.sign({}, { kid: `invented-${n}` })))
    const taken = new AbortController()
    const flood = Array.from({ length: 20 }, async (_, lane) => {
      for (let n = lane; !taken.signal.aborted; n = (n + 20) % invented.length) {
        await assertRefused(authenticate(invented[n] ?? ''), 'token_invalid')
      }
    })
    while (server.fetches < 2) await once(server.fetched, 'fetch')
    server.keys = [first.jwk, second.jwk]
    await authenticate(await second.sign())
    taken.abort()
    await Promise.all(flood)
    // One at the first login, one at once, and then one every five seconds.
    const most = 2 + (performance.now() - begun) / 5_000
    assert.ok(server.fetches <= most, `${server.fetches} fetches, and at most ${most} were allowed`)
  })

  test('that cannot be fetched again is no fault of a token with an unknown key id', async () => {
    const [first, second] = [await createSigner('ES256', 'first'), await createSigner('ES256', 'second')]
    await using server = await startKeyServer(first.jwk)
    const authenticate = authenticateByKeys(server)
    await authenticate(await first.sign())
    server.answer = (response) => response.writeHead(500).end()
    await assertRefused(authenticate(await second.sign()), 'unavailable')
    await authenticate(await first.sign())
  })

  test('is believed for ten minutes when its server is away, and fetched again after that', async () => {
    const signer = await createSigner('ES256', 'key')
    await using server = await startKeyServer(signer.jwk)
    const authenticate = authenticateByKeys(server)
    await authenticate(await signer.sign())
    await server.stop()
    goOn(9 * 60_000)
    await authenticate(await signer.sign())
    goOn(2 * 60_000)
    await assertRefused(authenticate(await signer.sign()), 'unavailable')
    await server.start()
    await authenticate(await signer.sign())
    assert.equal(server.fetches, 2)
  })

  test('that cannot be had is no fault of the token, and is asked for again at once', async () => {
    const signer = await createSigner('ES256', 'key')
    await using server = await startKeyServer(signer.jwk)
    const authenticate = authenticateByKeys(server)
    const answers: readonly ((response: ServerResponse) => void)[] = [
      (response) => response.writeHead(500).end('{"keys":[]}'),
      (response) => response.writeHead(404).end(),
      (response) => response.end('no JSON'),
      (response) => response.end('[]'),
      (response) => response.end('{"keys":5}'),
      (response) => response.destroy(),
      (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    ]
    for (const answer of answers) {
      server.answer = answer
      await assertRefused(authenticate(await signer.sign()), 'unavailable')
    }
    await server.stop()
    await assertRefused(authenticate(await signer.sign()), 'unavailable')
    await server.start()
    server.answer = undefined
    await authenticate(await signer.sign())
    assert.equal(server.fetches, answers.length + 1)
  })

  test('whose server does not answer is given up', async () => {
    const signer = await createSigner('ES256', 'key')
    await using server = await startKeyServer(signer.jwk)
    server.answer = () => undefined
    await assertRefused(authenticateByKeys(server)(await signer.sign()), 'unavailable')
  })

  test('that many have waited for lets a few go on in each turn of the event loop', async () => {
    const signer = await createSigner('ES256', 'key')
    await using server = await startKeyServer(signer.jwk)
    const keys = createKeySet(new URL(server.url))
    const ends = { found: 0, refused: 0 }
    const ask = async (kid: string) => keys({ alg: 'ES256', kid }, { payload: '', signature: '' })
    const all = Array.from({ length: 400 }, (_, n) =>
      n % 2 === 0 ? ask('key').then(() => (ends.found += 1)) : ask('invented').catch(() => (ends.refused += 1)),
    )
    let most = 0
    for (let before = 0; before < all.length; before = ends.found + ends.refused) {
      await nextTurn()
      most = Math.max(most, ends.found + ends.refused - before)
    }
    await Promise.all(all)
    assert.deepEqual(ends, { found: 200, refused: 200 })
    assert.ok(most <= 64, `${most} in one turn`)
  })

  test('verifies only by public keys, with the algorithm of the key', async () => {
    const [rsa, ec] = [await createSigner('RS256', 'rsa'), await createSigner('ES256', 'ec')]
    const shared = new TextEncoder().encode(`${SECRET} and at least 32 bytes long`)
    const oct = { kty: 'oct', kid: 'oct', k: Buffer.from(shared).toString('base64url') }
    const ps = await createSigner('PS256', 'ps')
    await using server = await startKeyServer(rsa.jwk, ec.jwk, ps.jwk, oct)
    const authenticate = authenticateByKeys(server)
    const stranger = await createSigner('ES256', 'ec')
    const tokens = {
      'by the public key as a secret': await signBySecret('rsa', new TextEncoder().encode(rsa.pem)),
      'by a secret in the set': await signBySecret('oct', shared),
      'by the key id of another': await stranger.sign(),
      'by a key of another type': await ec.sign({}, { kid: 'rsa' }),
      'by an algorithm that is not allowed': await ps.sign(),
      'without signature': `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`,
    }
    for (const [what, token] of Object.entries(tokens)) {
      await assertRefused(authenticate(token), 'token_invalid').catch((error: unknown) => {
        throw new Error(what, { cause: error })
      })
    }
    await authenticate(await rsa.sign())
  })

  test('with two keys that fit a token without key id is of no use to it', async () => {
    const [first, second] = [await createSigner('ES256', 'first'), await createSigner('ES256', 'second')]
    await using server = await startKeyServer(first.jwk, second.jwk)
    const token = await first.sign({}, { kid: undefined as unknown as string })
    await assertRefused(authenticateByKeys(server)(token), 'token_invalid')
  })
})

describe('claims', () => {
  const secret = `${SECRET} and at least 32 bytes long`
  const sign = (claims: JWTPayload) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret))

  test('issuer and audience are checked when they are set', async () => {
    const authenticate = authenticateBy({ SECRET: secret, ISSUER: 'https://login', AUDIENCE: 'im' })
    const good = { app: 1, sub: 'alice', iss: 'https://login', aud: ['im', 'mail'] }
    await authenticate(await sign(good))
    for (const bad of [{ iss: 'https://other' }, { aud: 'mail' }]) {
      await assertRefused(authenticate(await sign({ ...good, ...bad })), 'token_invalid')
    }
    await assertRefused(authenticate(await sign({ app: 1, sub: 'alice' })), 'token_invalid')
  })

  test('user and app may come from other claims', async () => {
    const authenticate = authenticateBy({ SECRET: secret, USER_CLAIM: 'uid', APP_CLAIM: 'tenant' })
    const principal = await authenticate(await sign({ uid: 'bob', tenant: 7, sub: 'alice', app: 1 }))
    assert.deepEqual(principal, { appId: 7, userId: 'bob', expiresAt: 0 })
  })

  test('a claim named like a property of every object is not there', async () => {
    const authenticate = authenticateBy({ SECRET: secret, USER_CLAIM: 'constructor' })
    await assertRefused(authenticate(await sign({ app: 1 })), 'user_id_invalid')
  })

  test('a user id must be a string', async () => {
    const authenticate = authenticateBy({ SECRET: secret })
    for (const sub of [5, null, ['alice'], { id: 'alice' }]) {
      const token = await sign({ app: 1, sub: sub as unknown as string })
      await assert.rejects(authenticate(token), ProtocolError)
    }
  })
})

test('without authentication a token is believed as it is written', async () => {
  const authenticate = authenticateBy({ MODE: 'none', APPS: '1,2' })
  assert.deepEqual(await authenticate('2:a:b'), { appId: 2, userId: 'a:b', expiresAt: 0 })
  for (const [token, code] of [
    ['alice', 'token_invalid'],
    [':alice', 'token_invalid'],
    ['one:alice', 'token_invalid'],
    ['-1:alice', 'token_invalid'],
    ['4294967296:alice', 'token_invalid'],
    ['3:alice', 'app_forbidden'],
    ['1:', 'user_id_invalid'],
    [`1:${'x'.repeat(129)}`, 'user_id_invalid'],
    ['1:\ud800', 'user_id_invalid'],
  ] as const) {
    await assertRefused((async () => authenticate(token))(), code)
  }
})

test('tokens that wait for keys keep nobody else out of a gateway', async () => {
  await using bench = await openBench()
  const signer = await createSigner('EdDSA', 'key')
  await using server = await startKeyServer(signer.jwk)
  const gateway = await bench.start('gw-2', { AUTH_MODE: 'jwks', AUTH_JWKS_URL: server.url })
  await loginTcp(gateway, { token: await signer.sign() })
  server.answer = () => undefined
  const strangers = await Promise.all(Array.from({ length: 300 }, () => connectTcp(gateway.tcpUrl)))
  const tokens = await Promise.all(strangers.map((_, n) => signer.sign({}, { kid: `invented-${n}` })))
  for (const [n, stranger] of strangers.entries()) stranger.send(buildLogin({ token: tokens[n] ?? '' }))
  await eventually(
    () => readMetric(gateway, 'im_frames_received_total{type="login"}'),
    (count) => count === strangers.length + 1,
    'logins that have come',
  )
  assert.equal(await readMetric(gateway, 'im_waiting_logins'), 0)
  await loginTcp(gateway, { token: await signer.sign({ sub: 'bob' }) })
  assert.equal(await readMetric(gateway, 'im_logins_total{result="accepted"}'), 2)
  for (const stranger of strangers) stranger.destroy()
})

test('a gateway tells a client whose fault it is, and says loudly when it checks nothing', async () => {
  await using bench = await openBench()
  const signer = await createSigner('EdDSA', 'key')
  await using server = await startKeyServer(signer.jwk)
  await server.stop()
  const gateway = await bench.start('gw-0', { AUTH_MODE: 'jwks', AUTH_JWKS_URL: server.url })
  const login = async () => {
    await using client = await connectTcp(gateway.tcpUrl)
    await client.login({ token: await signer.sign() })
  }
  await assert.rejects(login(), /closed with unavailable/)
  await server.start()
  await login()
  // That Redis keeps nothing here is true.
  const loud = gateway
    .logs()
    .filter(({ level, msg }) => Number(level) >= 40 && !String(msg).startsWith('Redis has neither'))
  assert.deepEqual(loud, [])

  const open = await bench.start('gw-1', { AUTH_MODE: 'none' })
  const warnings = open.logs().filter(({ level }) => level === 40)
  assert.match(String(warnings[0]?.['msg']), /none.*every client is believed/)
})
