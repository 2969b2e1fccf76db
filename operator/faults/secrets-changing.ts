import type { Fault } from './fault.ts'
import { listNames } from './list-names.ts'

/** Gateways that do not use yet what a Secret holds, by the Secret. No fault so far: it is told by Progressing. */
export function buildSecretsChanging(
  late: readonly { readonly secret: string; readonly names: readonly string[] }[],
): Fault {
  const parts = late.map(
    ({ secret, names }) => `${listNames(names)} will use what the Secret ${secret} holds in a moment`,
  )
  return { reason: 'SecretsChanging', message: parts.join('; ') }
}
