import type { V1ContainerStateTerminated } from '../../controller/kubernetes.ts'
import { gatewayStatus, readWaiting, type Pod } from '../reads/pod.ts'
import type { Fault } from './fault.ts'

/** A gateway that ends again and again. */
export function findCrashLoop(pod: Pod): Fault | undefined {
  const waiting = readWaiting(pod)
  if (waiting?.reason !== 'CrashLoopBackOff') return undefined
  const ended = gatewayStatus(pod)?.lastState?.terminated
  const what = ended === undefined ? waiting.message : describeEnd(ended)
  return { reason: 'CrashLoop', message: `pod ${pod.metadata.name}: ${what}` }
}

/** The gateway's own last words, which name the setting or what could not be reached, where the log ends with them. */
function describeEnd({ exitCode, message = '' }: V1ContainerStateTerminated): string {
  const end = `it ends again and again, with exit code ${exitCode}`
  // What is left of a long line is its end, where the message is.
  const [, words] = /"msg":("(?:[^"\\]|\\.)*")\}\s*$/.exec(message) ?? []
  return words === undefined ? `${end}; see kubectl logs --previous` : `${end}: ${JSON.parse(words) as string}`
}
