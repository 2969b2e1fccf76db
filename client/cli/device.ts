import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { ClientOptions } from '../index.ts'

/**
 * A device for one run. As an `api` device it takes no place from a person's devices (except under the policy `single`), and
 * a new id for each run lets several run at once.
 */
export function buildOneTimeDevice(command: string): ClientOptions['device'] {
  return { clientType: 'api', imei: `im-${command}-${randomBytes(8).toString('hex')}` }
}

/** The same device in every run on this machine, so that the cluster knows where the last run ended. */
export function buildStableDevice(): ClientOptions['device'] {
  return { clientType: 'web', imei: `im-${hostname()}`.slice(0, 64) }
}
