import { gatewayImage, securityContext } from '../../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type Kubectl, type PodObject } from '../../test/kit/kubernetes/kubernetes.ts'

/** Starts a pod in which the command `im` runs, from the image, with a token in IM_TOKEN. */
export async function startClientPod(
  kubectl: Kubectl,
  name: string,
  token: string,
  args: readonly string[],
): Promise<void> {
  await kubectl.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      containers: [
        {
          name: 'im',
          image: gatewayImage,
          imagePullPolicy: 'IfNotPresent',
          command: ['node', 'client/cli/main.ts', ...args],
          env: [{ name: 'IM_TOKEN', value: token }],
          securityContext: { ...securityContext, readOnlyRootFilesystem: true },
        },
      ],
    },
  })
}

/** What the command of a pod printed, once it has ended well. */
export async function readClientPod(kubectl: Kubectl, name: string, timeoutMs: number): Promise<string> {
  const phase = await waitFor(`the pod ${name} to end`, timeoutMs, async () => {
    const pod = await kubectl.get<PodObject>('pod', name)
    return /Succeeded|Failed/.exec(pod?.status.phase ?? '')?.[0]
  })
  const output = await kubectl.run(['logs', name])
  if (phase === 'Failed') throw new Error(`the command of the pod ${name} failed: ${output}`)
  return output
}
