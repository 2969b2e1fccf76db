import { SignJWT } from 'jose'

/** A token for a gateway in auth mode `secret`. `validFor` is a time span as jose reads it, like `1d`. */
export function signToken(secret: string, appId: number, userId: string, validFor = '1d'): Promise<string> {
  return new SignJWT({ app: appId })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(userId)
    .setIssuedAt()
    .setExpirationTime(validFor)
    .sign(new TextEncoder().encode(secret))
}
