import { createHash } from 'node:crypto'
import type { KubeObject } from '../../controller/resource.ts'
import type { Applied } from './context.ts'

/** On every object that the operator applies: the digest of what was applied. */
const APPLIED = 'imcluster.io/applied'

/** Marks a wanted object with its own digest, so that a later process sees what was applied by an earlier one. */
export function withDigest<T extends KubeObject>(wanted: T): T {
  const digest = createHash('sha256').update(JSON.stringify(wanted)).digest('base64url')
  const { metadata } = wanted
  return { ...wanted, metadata: { ...metadata, annotations: { ...metadata.annotations, [APPLIED]: digest } } }
}

/**
 * Whether an object is as it was last applied: by its digest, which shows what is no longer wanted, and by its fields,
 * which show what somebody else changed. It may say no without need, where the API server writes a value in another way.
 */
export function isAsWanted(live: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(live) && live.length === wanted.length && wanted.every((item, at) => isAsWanted(live[at], item))
    )
  }
  if (wanted === null || typeof wanted !== 'object') return live === wanted
  if (live === null || typeof live !== 'object') return false
  return Object.entries(wanted).every(([key, value]) => isAsWanted((live as Record<string, unknown>)[key], value))
}

/** Whether an object needs no apply: it is as it was last applied, by this process or another. */
export function isApplied(live: KubeObject | undefined, wanted: KubeObject, last: Applied | undefined): boolean {
  if (live === undefined) return false
  if (last?.wanted === JSON.stringify(wanted) && last.version === versionOf(live)) return true
  return isAsWanted(live, wanted)
}

/** Changes when somebody changes the object; where there is a generation, not with its status. */
export function versionOf({ metadata }: KubeObject): string {
  return metadata.generation === undefined ? (metadata.resourceVersion ?? '') : `generation ${metadata.generation}`
}
