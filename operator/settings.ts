import { hostname } from 'node:os'
import { EVERY_ADDRESS } from '../server/address.ts'
import {
  buildSettingsTable as buildTable,
  choice,
  integer,
  port,
  readSettings,
  text,
  type SettingsOf,
} from '../server/settings.ts'
import { OperatorError } from './errors.ts'

/** Every environment variable of the operator starts with this. */
const PREFIX = 'IM_OPERATOR_'

/** Every setting of the operator, in the order of the docs. */
const table = {
  NAMESPACE: text('default', 'namespace of the operator, where its Lease is'),
  LEASE_NAME: text('im-cluster-operator', 'name of that Lease; operators with the same one take turns'),
  POD_NAME: text(() => hostname(), "name of the operator's pod, for the Lease and Events", 'host name'),
  WATCH_NAMESPACE: text('', 'the one namespace whose ImClusters are run; empty for all', 'all'),
  KUBECONFIG: text('', 'kubeconfig file; empty for the service account of the pod'),
  LISTEN_HOST: text(
    '',
    'address that the admin port binds to; by default all of the machine, IPv6 and IPv4',
    EVERY_ADDRESS,
  ),
  ADMIN_PORT: port(8081, 'port of /livez, /readyz and /metrics'),
  CONCURRENCY: integer(4, [1, 64], 'ImClusters worked on at once'),
  LEASE_SECONDS: integer(15, [5, 600], 'how long a leader that is not heard of stays leader'),
  LOG_LEVEL: choice(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    'info',
    'least level that is logged',
  ),
} as const

/** The operator's settings, read and checked: `IM_OPERATOR_POD_NAME` is `podName`. */
export type OperatorSettings = SettingsOf<typeof table>

/**
 * Reads the settings from an environment. An empty variable counts as not set.
 *
 * @throws OperatorError SETTINGS_INVALID that lists every mistake
 */
export function parseSettings(env: Readonly<Record<string, string | undefined>>): OperatorSettings {
  const { settings, mistakes } = readSettings(PREFIX, table, env)
  if (mistakes.length > 0) throw new OperatorError('SETTINGS_INVALID', mistakes.join('; '), { retryable: false })
  return settings
}

/** The table of settings for the docs, in Markdown. */
export function buildSettingsTable(): string {
  return buildTable(PREFIX, table)
}
