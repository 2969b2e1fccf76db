import type { Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'
import { describeWaiting, type Remedies } from './remedies.ts'

const remedies: Remedies = {
  CreateContainerConfigError: 'create what is missing, or correct its name in the spec',
  CreateContainerError: '',
  RunContainerError: '',
}

/** A container that cannot be made of what the pod says, mostly as a Secret is missing. See also certificate-missing.ts. */
export function findConfigError(pod: Pod): Fault | undefined {
  const message = describeWaiting(pod, remedies)
  return message === undefined ? undefined : { reason: 'ConfigError', message }
}
