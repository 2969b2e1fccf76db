import { run } from './command.ts'
import { Kubectl, waitFor, type PodObject } from './kubernetes.ts'

const SELECTOR = 'app.kubernetes.io/name=im-cluster-operator'
export const system = new Kubectl('im-system')

export function operatorPods(): Promise<PodObject[]> {
  return system.list<PodObject>('pods', SELECTOR)
}

/** Lets the installed operator rest until what is returned is disposed of: a test writes what it would write. */
export async function suspendOperator(): Promise<AsyncDisposable> {
  const scale = (replicas: number) =>
    system.run(['scale', 'deployment', 'im-cluster-operator', `--replicas=${replicas}`])
  await scale(0)
  await waitFor('the operator to rest', 60_000, async () => (await operatorPods()).length === 0)
  return {
    [Symbol.asyncDispose]: async () => {
      await scale(2)
    },
  }
}

/** The pod that leads. */
export function readLeader(): Promise<PodObject> {
  return waitFor('a leader', 60_000, async () => {
    const holder = await system.run(['get', 'lease', 'im-cluster-operator', '-o', 'jsonpath={.spec.holderIdentity}'])
    const name = holder.slice(0, holder.lastIndexOf('_'))
    const pods = await operatorPods()
    return pods.find(({ metadata }) => metadata.name === name && metadata.deletionTimestamp === undefined)
  })
}

/** Kills the leader's process as kill -9 does; waits for one where the last was killed just now. */
export async function killLeader(): Promise<void> {
  await waitFor('a leader to kill', 60_000, async () => {
    // Between two lives of a container there is nothing to kill.
    const { metadata } = await readLeader()
    await killContainer(system, metadata.name, 'KILL')
    return true
  })
}

type ContainerSignal = 'KILL' | 'TERM' | 'STOP' | 'CONT'

/** Sends a signal to the processes of a pod's only container, from its node: what PID 1 cannot catch or refuse. */
export async function killContainer(kubectl: Kubectl, pod: string, signal: ContainerSignal): Promise<void> {
  const path = '{.spec.nodeName} {.status.containerStatuses[0].containerID}'
  const [node = '', id = ''] = (await kubectl.run(['get', 'pod', pod, '-o', `jsonpath=${path}`])).split(' ')
  const task = id.replace('containerd://', '')
  const kill = ['kill', '--signal', `SIG${signal}`]
  const action = { KILL: kill, TERM: kill, STOP: ['pause'], CONT: ['resume'] }[signal]
  await run('docker', ['exec', node, 'ctr', '--namespace', 'k8s.io', 'tasks', ...action, task])
}

/** `yes` or `no`: whether a ServiceAccount, as `namespace:name`, may do something in a namespace, in the words of kubectl. */
export async function canI(account: string, namespace: string, what: readonly string[]): Promise<string> {
  const who = [`--as=system:serviceaccount:${account}`, '--namespace', namespace]
  return (await run('kubectl', ['auth', 'can-i', ...what, ...who]).catch(() => 'no')).trim()
}

/** A metric of the operator's leader; the sum over its labels, or over the series that have all of `labels`. */
export async function readOperatorMetric(name: string, labels: readonly string[] = []): Promise<number> {
  const { metadata } = await readLeader()
  await using forward = await system.forward(`pod/${metadata.name}`, 8081)
  const text = await (await fetch(`http://127.0.0.1:${forward.port}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith(name) && /[ {]/.test(line.charAt(name.length)))
  const wanted = lines.filter((line) => labels.every((label) => line.includes(label)))
  return wanted.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
