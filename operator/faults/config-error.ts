import { readWaiting, type Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** What to do, by what the kubelet calls it; '' where its own words must do. */
const remedies: Readonly<Record<string, string>> = {
  CreateContainerConfigError: 'create what is missing, or correct its name in the spec',
  CreateContainerError: '',
  RunContainerError: '',
}

/** A container that cannot be made of what the pod says, mostly as a Secret is missing. See also certificate-missing.ts. */
export function findConfigError(pod: Pod): Fault | undefined {
  const waiting = readWaiting(pod)
  const remedy = remedies[waiting?.reason ?? '']
  if (waiting === undefined || remedy === undefined) return undefined
  const message = `pod ${pod.metadata.name}: ${waiting.message}`
  return { reason: 'ConfigError', message: remedy === '' ? message : `${message}; ${remedy}` }
}
