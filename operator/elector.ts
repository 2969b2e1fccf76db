import type { Logger } from './logger.ts'
import type { KubeApi } from '../controller/api.ts'
import { LeaderElector } from '../controller/leader-election.ts'
import type { OperatorSettings } from './settings.ts'

/** client-go's ratios of lease duration, renew deadline and retry period: 15, 10 and 2. */
const RENEW_DEADLINE = 2 / 3
const RETRY_PERIOD = 2 / 15

/** Who works on the ImClusters: one process at a time, by the operator's Lease. */
export function createElector(
  { namespace, leaseName, leaseSeconds }: OperatorSettings,
  api: KubeApi,
  identity: string,
  logger: Logger,
): LeaderElector {
  const leaseDurationMs = leaseSeconds * 1000
  return new LeaderElector({
    api,
    namespace,
    name: leaseName,
    identity,
    leaseDurationMs,
    renewDeadlineMs: Math.floor(leaseDurationMs * RENEW_DEADLINE),
    retryPeriodMs: Math.floor(leaseDurationMs * RETRY_PERIOD),
    onHolder: (holder) => logger.info({ holder }, 'the leader'),
    onError: (err) => logger.warn({ err }, 'the lease cannot be read or written; trying again'),
  })
}
