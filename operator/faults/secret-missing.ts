import type { Fault } from './fault.ts'

/** The Secret that has the URL of Redis is not there. Of other Secrets the kubelet tells: config-error.ts. */
export function buildSecretMissing(secret: string, key: string): Fault {
  const message = `Secret ${secret} is not there; create it, with the URL of Redis under ${key}`
  return { reason: 'SecretMissing', message }
}
