import { createHmac, timingSafeEqual } from 'node:crypto'
import { decodeProtectedHeader, errors, UnsecuredJWT, type JWTClaimVerificationOptions, type JWTPayload } from 'jose'

/** The header by which jose reads claims whose signature has been checked already. */
const CHECKED = Buffer.from('{"alg":"none"}').toString('base64url')

/**
 * Checks an HS256 token: its signature here, within the turn, all else by jose. jose's own way to the signature is WebCrypto, which
 * hands each token to another thread and costs ten times as much.
 *
 * @param secrets any of which may have signed it
 * @returns the claims
 * @throws JOSEError that says what is wrong
 */
export function verifyHs256(
  token: string,
  secrets: readonly string[],
  options: JWTClaimVerificationOptions,
): JWTPayload {
  const [header = '', payload = '', signature = '', ...more] = token.split('.')
  if (more.length > 0) throw new errors.JWSInvalid('a token has three parts')
  const { alg, crit } = readHeader(token)
  if (alg !== 'HS256') throw new errors.JOSEAlgNotAllowed('the algorithm must be HS256')
  // What it names would change the meaning of the rest, and none of it is known here.
  if (crit !== undefined) throw new errors.JOSENotSupported('no critical extension is supported')
  // As text: each signature has one way to be written (RFC 7515, 2: base64url without padding).
  const given = Buffer.from(signature)
  const matches = (secret: string): boolean => {
    const expected = Buffer.from(createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url'))
    return given.length === expected.length && timingSafeEqual(given, expected)
  }
  if (!secrets.some(matches)) throw new errors.JWSSignatureVerificationFailed()
  return UnsecuredJWT.decode(`${CHECKED}.${payload}.`, options).payload
}

function readHeader(token: string) {
  try {
    return decodeProtectedHeader(token)
  } catch (cause) {
    throw new errors.JWSInvalid('the header of a token cannot be read', { cause })
  }
}
