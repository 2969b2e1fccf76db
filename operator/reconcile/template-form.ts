import { isDeepStrictEqual } from 'node:util'
import { FIELD_MANAGER } from '../api/constants.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { statefulSets } from '../build/objects.ts'
import { buildStatefulSet } from '../build/stateful-set.ts'
import { formOfTemplate, NEWEST_FORM, type TemplateForm } from '../build/template-form.ts'
import { isApiError } from '../../controller/errors.ts'
import { keyOf } from '../../controller/resource.ts'
import { isOwnedBy, type ReconcileContext } from './context.ts'
import { isApplied, withDigest } from './drift.ts'

/**
 * The form in which a cluster's pod template is to be built: the newest, unless the gateways that are there would be made anew for
 * that alone. The API server is asked what an apply in the present form would change, as it writes values in its own way.
 *
 * @throws ApiError when it cannot be reached or is overloaded
 */
export async function chooseForm(
  { api, readStored, memory }: Pick<ReconcileContext, 'api' | 'readStored' | 'memory'>,
  cluster: ImCluster,
  signal: AbortSignal,
): Promise<TemplateForm> {
  const stored = readStored(statefulSets, keyOf(cluster))
  const form = isOwnedBy(stored, cluster) ? formOfTemplate(stored) : NEWEST_FORM
  if (form === NEWEST_FORM) return form
  const wanted = withDigest(buildStatefulSet(cluster, form))
  const last = memory.applied(keyOf(cluster)).get(`${statefulSets.kind} ${wanted.metadata.name}`)
  if (isApplied(stored, wanted, last)) return form
  try {
    const live = await api.get(statefulSets, wanted.metadata, { signal })
    const after = await api.apply(statefulSets, wanted, { fieldManager: FIELD_MANAGER, dryRun: true, signal })
    return isDeepStrictEqual(after.spec.template, live.spec.template) ? formOfTemplate(live) : NEWEST_FORM
  } catch (error) {
    // The apply itself will tell; a webhook that takes no trial keeps the form.
    if (!isApiError(error, 'INVALID', 'BAD_REQUEST', 'FORBIDDEN', 'NOT_FOUND')) throw error
    return form
  }
}
