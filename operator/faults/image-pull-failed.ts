import { readWaiting, type Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** What to do, by what the kubelet calls it. */
const remedies: Readonly<Record<string, string>> = {
  ImagePullBackOff: 'correct spec.image, or spec.imagePullSecrets',
  ErrImagePull: 'correct spec.image, or spec.imagePullSecrets',
  InvalidImageName: 'correct spec.image',
  ErrImageNeverPull: 'load the image on the node, or correct spec.image',
}

/** An image that cannot be pulled. */
export function findImagePullFailed(pod: Pod): Fault | undefined {
  const waiting = readWaiting(pod)
  const remedy = remedies[waiting?.reason ?? '']
  if (waiting === undefined || remedy === undefined) return undefined
  return { reason: 'ImagePullFailed', message: `pod ${pod.metadata.name}: ${waiting.message}; ${remedy}` }
}
