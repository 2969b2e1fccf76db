import { readWaiting, type Pod } from '../reads/pod.ts'

/** What to do, by what the kubelet calls that a container waits for; '' where its own words must do. */
export type Remedies = Readonly<Record<string, string>>

/** Says what the gateway's container waits for, and what to do; undefined when it waits for nothing that has a remedy. */
export function describeWaiting(pod: Pod, remedies: Remedies): string | undefined {
  const waiting = readWaiting(pod)
  const remedy = remedies[waiting?.reason ?? '']
  if (waiting === undefined || remedy === undefined) return undefined
  const message = `pod ${pod.metadata.name}: ${waiting.message}`
  return remedy === '' ? message : `${message}; ${remedy}`
}
