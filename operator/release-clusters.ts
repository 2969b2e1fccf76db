import { randomUUID } from 'node:crypto'
import { FINALIZER, imClusters } from './api/constants.ts'
import type { ImCluster } from './api/imcluster.ts'
import { createElector } from './elector.ts'
import { OperatorError } from './errors.ts'
import type { Logger } from './logger.ts'
import { removeFinalizer } from './reconcile/deletion.ts'
import { KubeApi } from '../controller/api.ts'
import { isApiError } from '../controller/errors.ts'
import { keyOf } from '../controller/resource.ts'
import { pause } from '../controller/timing.ts'
import { loadKubeConfig } from '../controller/http-client.ts'
import type { OperatorSettings } from './settings.ts'

/** How long it may take, beyond the life of a lease that a dead operator has left. */
const WORK_MS = 60_000
const RETRY_MS = 1_000
/** ImClusters that a message names. */
const MAX_NAMES = 10

/**
 * Takes the finalizer off every ImCluster that is watched, for the time without an operator: one that is deleted then must
 * not wait for an operator that never comes. As the leader, so that no operator puts it back beside it; the next operator
 * does.
 *
 * @throws OperatorError NOT_RELEASED when time runs out, or `stop` aborts, first
 */
export async function releaseClusters(settings: OperatorSettings, logger: Logger, stop: AbortSignal): Promise<void> {
  const config = loadKubeConfig(settings.kubeconfig === '' ? undefined : settings.kubeconfig)
  using api = new KubeApi(config)
  using leaseApi = new KubeApi(config)
  const elector = createElector(settings, leaseApi, `${settings.podName}_${randomUUID()}`, logger)
  const timeLeft = AbortSignal.timeout(settings.leaseSeconds * 1000 + WORK_MS)
  let done = false
  let reason = 'another process holds the lease of the operator'
  await elector.run(AbortSignal.any([stop, timeLeft]), async (leading) => {
    while (!done && !leading.aborted) {
      try {
        const left = await releaseEach(api, settings, logger, leading)
        done = left.length === 0
        const names = left.slice(0, MAX_NAMES).map(({ metadata }) => keyOf(metadata))
        reason = `${left.length} ImClusters have it still, among them ${names.join(', ')}`
      } catch (error) {
        if (leading.aborted) break
        if (!isApiError(error)) throw error
        reason = error.message
        logger.warn({ err: error }, 'trying again')
      }
      if (!done) await pause(RETRY_MS, leading)
    }
  })
  if (done) return
  const message = `the finalizer ${FINALIZER} could not be taken off every ImCluster: ${reason}; see Uninstall in docs/operations.md`
  throw new OperatorError('NOT_RELEASED', message, { retryable: true })
}

/** Returns those that have the finalizer still: somebody wrote in between. */
async function releaseEach(
  api: KubeApi,
  { watchNamespace }: OperatorSettings,
  logger: Logger,
  signal: AbortSignal,
): Promise<ImCluster[]> {
  const left: ImCluster[] = []
  for (const cluster of await listHeld(api, watchNamespace, signal)) {
    try {
      await removeFinalizer({ api }, cluster, signal)
      logger.info({ cluster: keyOf(cluster) }, 'released')
    } catch (error) {
      if (!isApiError(error, 'CONFLICT')) throw error
      left.push(cluster)
    }
  }
  return left
}

async function listHeld(api: KubeApi, watchNamespace: string, signal: AbortSignal): Promise<ImCluster[]> {
  try {
    const namespace = watchNamespace === '' ? undefined : watchNamespace
    const { items } = await api.list(imClusters, { namespace }, { signal })
    return items.filter(({ metadata }) => metadata.finalizers?.includes(FINALIZER) === true)
  } catch (error) {
    // Without the CRD there is none.
    if (isApiError(error, 'NOT_FOUND')) return []
    throw error
  }
}
