import type { Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'
import { describeWaiting, type Remedies } from './remedies.ts'

const remedies: Remedies = {
  ImagePullBackOff: 'correct spec.image, or spec.imagePullSecrets',
  ErrImagePull: 'correct spec.image, or spec.imagePullSecrets',
  InvalidImageName: 'correct spec.image',
  ErrImageNeverPull: 'load the image on the node, or correct spec.image',
}

/** An image that cannot be pulled. */
export function findImagePullFailed(pod: Pod): Fault | undefined {
  const message = describeWaiting(pod, remedies)
  return message === undefined ? undefined : { reason: 'ImagePullFailed', message }
}
