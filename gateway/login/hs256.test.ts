import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { errors, jwtVerify, SignJWT } from 'jose'
import { ProtocolError } from '../../protocol/errors.ts'
import { parseSettings } from '../settings.ts'
import { SECRET } from '../test-bench.ts'
import { createAuthenticate } from './auth.ts'
import { verifyHs256 } from './hs256.ts'

const secret = `${SECRET} and at least 32 bytes long`
const HEADER = '{"alg":"HS256","typ":"JWT"}'
const CLAIMS = '{"app":1,"sub":"alice"}'

const encode = (text: string | Uint8Array) => Buffer.from(text).toString('base64url')
const mac = (signed: string, algorithm = 'sha256', key = secret) => createHmac(algorithm, key).update(signed).digest()

/** A token of parts as they are written, signed as it should be. */
function signParts(header: string, payload: string): string {
  return `${header}.${payload}.${mac(`${header}.${payload}`).toString('base64url')}`
}

/** A token of this header and these claims, as JSON text, signed as it should be. */
const sign = (header: string, claims = CLAIMS) => signParts(encode(header), encode(claims))

const byJose = (token: string) => jwtVerify(token, new TextEncoder().encode(secret), { algorithms: ['HS256'] })

test('what is not signed by HS256 as it should be is refused, as jose itself does', async () => {
  const good = sign(HEADER)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const signed = `${header}.${payload}`
  const tokens = {
    'alg none, without signature': `${encode('{"alg":"none"}')}.${payload}.`,
    'alg none, signed': sign('{"alg":"none"}'),
    'the signature left out': `${signed}.`,
    'the last dot left out': signed,
    'RS256 in the header': sign('{"alg":"RS256"}'),
    'HS512 in the header, and used': `${encode('{"alg":"HS512"}')}.${payload}.${mac(`${encode('{"alg":"HS512"}')}.${payload}`, 'sha512').toString('base64url')}`,
    'HS512 under a header of HS256': `${signed}.${mac(signed, 'sha512').toString('base64url')}`,
    'alg in lower case': sign('{"alg":"hs256"}'),
    'alg as a list': sign('{"alg":["HS256"]}'),
    'no alg': sign('{}'),
    'the last of two algs counts': sign('{"alg":"HS256","alg":"none"}'),
    'a header that is a list': sign('["HS256"]'),
    'a header that is null': sign('null'),
    'a header that is no JSON': sign('alg'),
    'a header that is no UTF-8': signParts(encode(Uint8Array.of(0x22, 0xff, 0x22)), payload),
    'no header': signParts('', payload),
    'a critical extension': sign('{"alg":"HS256","crit":["x"],"x":1}'),
    'an empty list of critical extensions': sign('{"alg":"HS256","crit":[]}'),
    'an unencoded payload': sign('{"alg":"HS256","crit":["b64"],"b64":false}'),
    'a shorter signature': good.slice(0, -1),
    'a signature with more behind it': `${good}A`,
    'half a signature': `${signed}.${mac(signed).subarray(0, 16).toString('base64url')}`,
    'another key': `${signed}.${mac(signed, 'sha256', `${secret}!`).toString('base64url')}`,
    'an empty key': `${signed}.${mac(signed, 'sha256', '').toString('base64url')}`,
    'a signature in hexadecimal': `${signed}.${mac(signed).toString('hex')}`,
    'a signature of other letters': `${signed}.${'é'.repeat(43)}`,
    'other claims under the signature': `${header}.${encode('{"app":1,"sub":"bob"}')}.${signature}`,
    'four parts': `${good}.`,
    'five parts, as an encrypted token has': `${good}.a.b`,
    'two parts swapped': `${payload}.${header}.${signature}`,
    'nothing but dots': '..',
    nothing: '',
    'garbage in the payload': signParts(header, `${payload}*`),
    'other letters in the payload': signParts(header, `${payload}é`),
    'claims that are a list': sign(HEADER, '[]'),
    'claims that are null': sign(HEADER, 'null'),
    'claims that are no JSON': sign(HEADER, '{"app":1'),
    'claims that are no UTF-8': signParts(header, encode(Uint8Array.of(0x7b, 0xff, 0x7d))),
    'no claims': signParts(header, ''),
    'a time as text': sign(HEADER, '{"app":1,"sub":"alice","exp":"9999999999"}'),
    'not valid yet': sign(HEADER, '{"app":1,"sub":"alice","nbf":99999999999}'),
    'valid no more': sign(HEADER, '{"app":1,"sub":"alice","exp":1}'),
    'a time before all': sign(HEADER, '{"app":1,"sub":"alice","exp":-1e308}'),
  }
  for (const [what, token] of Object.entries(tokens)) {
    assert.throws(() => verifyHs256(token, [secret], {}), errors.JOSEError, what)
    await assert.rejects(byJose(token), what)
  }
  assert.deepEqual(verifyHs256(good, [secret], {}), (await byJose(good)).payload)
})

test('a signature has one way to be written', () => {
  const good = sign(HEADER)
  const last = good.at(-1) ?? ''
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // The last letter has two bits that mean nothing.
  const twin = `${good.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1] ?? ''}`
  for (const token of [twin, `${good}=`, `${good} `, `${good}\n`, ` ${good}`, good.replaceAll('.', '..')]) {
    assert.throws(() => verifyHs256(token, [secret], {}), errors.JOSEError, token)
  }
})

test('of two keys either will do, and no third', async () => {
  const former = `${secret}, formerly`
  const byFormer = await new SignJWT({ sub: 'bob' }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(former))
  assert.equal(verifyHs256(byFormer, [secret, former], {}).sub, 'bob')
  assert.equal(verifyHs256(sign(HEADER), [secret, former], {}).sub, 'alice')
  assert.throws(() => verifyHs256(byFormer, [secret], {}), errors.JWSSignatureVerificationFailed)
  assert.throws(() => verifyHs256(byFormer, [], {}), errors.JWSSignatureVerificationFailed)
})

test('what a client may put into a token is told as its fault, and taken literally', async () => {
  const authenticate = createAuthenticate(parseSettings({ IM_AUTH_SECRET: secret }))
  for (const [claims, code] of [
    ['{"app":1,"sub":5}', 'user_id_invalid'],
    ['{"app":1,"sub":{"toString":"alice"}}', 'user_id_invalid'],
    ['{"app":1,"__proto__":{"sub":"alice"}}', 'user_id_invalid'],
    ['{"app":1,"sub":"\\ud800"}', 'user_id_invalid'],
    ['{"app":1.5,"sub":"alice"}', 'token_invalid'],
    ['{"app":1e400,"sub":"alice"}', 'token_invalid'],
    ['{"app":"1e1","sub":"alice"}', 'token_invalid'],
    ['{"app":1,"sub":"alice","exp":null}', 'token_invalid'],
    ['{"app":1,"sub":"alice","exp":1}', 'token_expired'],
  ] as const) {
    await assert.rejects(authenticate(sign(HEADER, claims)), (error) => {
      assert.ok(error instanceof ProtocolError)
      assert.equal(error.code, code, claims)
      return true
    })
  }
  const unicode = await authenticate(sign(HEADER, '{"app":1,"sub":"\\u00e4\u{1F680}."}'))
  assert.equal(unicode.userId, 'ä\u{1F680}.')
  // The last of a name counts, for every JSON parser of ours.
  assert.equal((await authenticate(sign(HEADER, '{"app":1,"sub":"alice","sub":"bob"}'))).userId, 'bob')
  // A frame can say no later time.
  for (const exp of ['1e300', '1e400', '99999999999999']) {
    const principal = await authenticate(sign(HEADER, `{"app":1,"sub":"alice","exp":${exp}}`))
    assert.equal(principal.expiresAt, Number.MAX_SAFE_INTEGER)
  }
  assert.equal(
    (await authenticate(sign(HEADER, '{"app":1,"sub":"alice","exp":9999999999.00051}'))).expiresAt,
    9999999999000,
  )
})
