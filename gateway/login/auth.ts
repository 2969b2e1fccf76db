import { errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose'
import { ProtocolError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/frames.ts'
import { verifyHs256 } from './hs256.ts'
import { createKeySet } from './key-set.ts'
import type { SecretValues } from '../secrets/secrets.ts'
import type { GatewaySettings } from '../settings.ts'

/** Who a token speaks for, and until when: `expiresAt` in milliseconds since 1970, 0 for never. */
export interface Principal {
  readonly appId: number
  readonly userId: string
  readonly expiresAt: number
}

/**
 * Checks a token.
 *
 * @throws ProtocolError token_invalid, token_expired, app_forbidden, user_id_invalid, or unavailable when the key set
 * cannot be fetched
 */
export type Authenticate = (token: string) => Promise<Principal>

/** Tolerated difference between this clock and the issuer's, in seconds, for a token that is not valid yet. */
const CLOCK_TOLERANCE = 5

/** Builds the check that `IM_AUTH_MODE` asks for. `secrets` are those in use, whenever they are asked for. */
export function createAuthenticate(settings: GatewaySettings, secrets = (): SecretValues => settings): Authenticate {
  const identify = createIdentify(settings, secrets)
  const apps = new Set(settings.authApps)
  return async (token) => {
    const principal = await identify(token)
    const { appId, userId } = principal
    if (!Number.isInteger(appId) || appId < 0 || appId > 0xffff_ffff) {
      throw new ProtocolError('token_invalid', 'the app of the token must be a whole number from 0 to 4294967295')
    }
    if (apps.size > 0 && !apps.has(appId)) throw new ProtocolError('app_forbidden')
    const bytes = Buffer.byteLength(userId)
    if (bytes === 0 || bytes > limits.userId || !userId.isWellFormed()) throw new ProtocolError('user_id_invalid')
    return principal
  }
}

function createIdentify(settings: GatewaySettings, secrets: () => SecretValues): Authenticate {
  if (settings.authMode === 'none') return (token) => Promise.resolve(believe(token))

  const options: JWTVerifyOptions = { clockTolerance: CLOCK_TOLERANCE }
  if (settings.authIssuer !== '') options.issuer = settings.authIssuer
  if (settings.authAudience !== '') options.audience = settings.authAudience
  const verify = createVerify(settings, secrets, options)
  return async (token) => {
    let claims: JWTPayload
    try {
      claims = await verify(token)
    } catch (error) {
      throw toProtocolError(error)
    }
    // A time past what a frame can say is as good as the last that it can.
    const expiresAt = claims.exp === undefined ? 0 : Math.min(Math.floor(claims.exp * 1000), Number.MAX_SAFE_INTEGER)
    // Without tolerance: the connection would end at once.
    if (expiresAt !== 0 && expiresAt <= Date.now()) throw new ProtocolError('token_expired')
    const appId = claims[settings.authAppClaim]
    const userId = claims[settings.authUserClaim]
    return {
      // Some issuers write every claim as a string.
      appId: typeof appId === 'string' && /^\d{1,10}$/.test(appId) ? Number(appId) : (appId as number),
      userId: typeof userId === 'string' ? userId : '',
      expiresAt,
    }
  }
}

function createVerify(
  settings: GatewaySettings,
  secrets: () => SecretValues,
  options: JWTVerifyOptions,
): (token: string) => JWTPayload | Promise<JWTPayload> {
  if (settings.authMode === 'secret') {
    return (token) => {
      const { authSecret, authFormerSecret } = secrets()
      return verifyHs256(token, authFormerSecret === '' ? [authSecret] : [authSecret, authFormerSecret], options)
    }
  }
  const keys = createKeySet(new URL(settings.authJwksUrl))
  const algorithms = ['RS256', 'ES256', 'EdDSA', 'Ed25519']
  return async (token) => (await jwtVerify(token, keys, { ...options, algorithms })).payload
}

function believe(token: string): Principal {
  const colon = token.indexOf(':')
  const appId = token.slice(0, colon)
  if (colon < 1 || !/^\d{1,10}$/.test(appId)) {
    throw new ProtocolError('token_invalid', 'without authentication a token reads <appId>:<userId>, like 1:alice')
  }
  return { appId: Number(appId), userId: token.slice(colon + 1), expiresAt: 0 }
}

/** Whose fault a failed check is: the token's, or that of a key set that could not be fetched. */
function toProtocolError(error: unknown): ProtocolError {
  if (error instanceof errors.JWTExpired) return new ProtocolError('token_expired', undefined, { cause: error })
  const noKey = error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) {
    return new ProtocolError('unavailable', 'the keys to check the token cannot be fetched', { cause: error })
  }
  if (error instanceof errors.JOSEError && (noKey || error.code !== 'ERR_JOSE_GENERIC')) {
    return new ProtocolError('token_invalid', undefined, { cause: error })
  }
  // A network failure, or an answer of the key server that is no key set.
  return new ProtocolError('unavailable', 'the keys to check the token cannot be fetched', { cause: error })
}
