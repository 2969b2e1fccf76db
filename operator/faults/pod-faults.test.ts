import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { V1ContainerState } from '../../controller/kubernetes.ts'
import type { Pod } from '../reads/pod.ts'
import { findPodFaults } from './pod-faults.ts'

function pod(state: V1ContainerState, lastState?: V1ContainerState): Pod {
  const container = { name: 'gateway', image: '', imageID: '', ready: false, restartCount: 0, state }
  return {
    metadata: { name: 'im-0', uid: 'a' },
    status: { containerStatuses: [{ ...container, ...(lastState && { lastState }) }] },
  }
}
const waiting = (reason: string, message?: string): V1ContainerState => ({
  waiting: { reason, ...(message !== undefined && { message }) },
})

test('a container that cannot start is a fault that names the pod and says what to do; one that starts is none', () => {
  assert.deepEqual(findPodFaults([pod(waiting('ErrImagePull', 'no such image')), pod(waiting('ContainerCreating'))]), [
    {
      reason: 'ImagePullFailed',
      message: 'pod im-0: no such image; correct spec.image, or spec.imagePullSecrets',
    },
  ])
  const [fault] = findPodFaults([pod(waiting('CreateContainerConfigError', 'secret "auth" not found'))])
  assert.match(fault?.message ?? '', /secret "auth" not found; create what is missing/)
})

test('a gateway that ends again and again is quoted, however much of its last line is left', () => {
  const words = String.raw`{"level":60,"err":{"msg":"inner"},"msg":"the \"URL\" is not valid"}`
  for (const message of [`${words}\n`, words.slice(20), `a warning of Node\n${words}`]) {
    const ended = { terminated: { exitCode: 1, message } }
    assert.deepEqual(findPodFaults([pod(waiting('CrashLoopBackOff', 'back-off 10s'), ended)]), [
      {
        reason: 'CrashLoop',
        message: 'pod im-0: it ends again and again, with exit code 1: the "URL" is not valid',
      },
    ])
  }
})

test('of one that was killed, or said nothing that can be read, the log is named', () => {
  for (const message of [undefined, 'Segmentation fault', '{"msg":"half a li']) {
    const ended = { terminated: { exitCode: 139, ...(message !== undefined && { message }) } }
    const [fault] = findPodFaults([pod(waiting('CrashLoopBackOff'), ended)])
    assert.match(fault?.message ?? '', /exit code 139; see kubectl logs --previous$/)
  }
})
