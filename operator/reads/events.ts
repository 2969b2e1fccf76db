import type { KubeApi } from '../../controller/api.ts'
import { isApiError } from '../../controller/errors.ts'
import { events, type KubeEvent } from '../../controller/event-recorder.ts'
import type { KubeObject } from '../../controller/resource.ts'

/** Events of one object are few: the API server keeps them for an hour, repeats counted. */
const MOST_EVENTS = 500

/** What an Event says, as far as it matters here. `at` in ms since 1970, 0 when it is not known. */
export interface PastEvent {
  readonly reason: string
  readonly note: string
  readonly at: number
}

/**
 * Reads what Kubernetes has told of an object; nothing without the right to list Events.
 *
 * @throws ApiError when the API server cannot be asked
 */
export async function readEventsOf(
  api: KubeApi,
  kind: string,
  { namespace, uid = '' }: Pick<KubeObject['metadata'], 'namespace' | 'uid'>,
  signal: AbortSignal,
): Promise<PastEvent[]> {
  const selection = { namespace, fieldSelector: `regarding.kind=${kind},regarding.uid=${uid}`, pageSize: MOST_EVENTS }
  try {
    return (await api.list(events, selection, { signal })).items.map(parseEvent)
  } catch (error) {
    // Rights made by hand, for a former release: all else goes on without the words.
    if (isApiError(error, 'FORBIDDEN')) return []
    throw error
  }
}

/** Events of Kubernetes' own controllers have the times of before events.k8s.io. */
function parseEvent({ reason, note, eventTime, series, ...rest }: KubeEvent): PastEvent {
  const { deprecatedLastTimestamp } = rest as { deprecatedLastTimestamp?: string }
  const times = [eventTime, series?.lastObservedTime, deprecatedLastTimestamp].map(
    (time) => Date.parse(time ?? '') || 0,
  )
  return { reason, note, at: Math.max(...times) }
}
