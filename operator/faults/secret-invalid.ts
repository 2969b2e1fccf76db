import type { Fault } from './fault.ts'

/** The Secret that has the URL of Redis is there, without that key. */
export function buildSecretInvalid(secret: string, key: string): Fault {
  return { reason: 'SecretInvalid', message: `Secret ${secret} has no key ${key}; add it, with the URL of Redis` }
}
