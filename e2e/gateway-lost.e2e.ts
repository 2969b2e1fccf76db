import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from '../test/kit/kubernetes/command.ts'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type PodObject } from '../test/kit/kubernetes/kubernetes.ts'
import { killContainer, readOperatorMetric } from '../test/kit/kubernetes/operator.ts'
import { startStopwatch } from './support/stopwatch.ts'

/** Without being woken an idle cluster would be looked at every 30 s. */
const SEEN_WITHIN_MS = 10_000
const LEASE_MS = 6_000

describe('GatewayLost', () => {
  let cluster: TestCluster
  const drain = { rate: 200, deadlineSeconds: 5, jitterSeconds: 0 }
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ replicas: 2, drain })
    await cluster.waitUntilSettled(2)
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  /** Every reason of Degraded, and every state of a gateway, that a watch of the ImCluster is told meanwhile. */
  async function watchWhile(work: () => Promise<void>): Promise<string[]> {
    const path = '{.status.conditions[?(@.type=="Degraded")].reason} {.status.brokers[*].state}{"\\n"}'
    const args = ['--namespace', cluster.kubectl.namespace, 'get', 'imc', 'im', '--watch', '-o', `jsonpath=${path}`]
    const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    const lines: string[] = []
    const first = Promise.withResolvers<void>()
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line)
      first.resolve()
    })
    try {
      await first.promise
      await work()
    } finally {
      child.kill('SIGTERM')
      await exited
    }
    return lines
  }

  test('is not said of gateways that leave in good order, not for a single pass', async (t) => {
    const seen = await watchWhile(async () => {
      for (const replicas of [4, 1, 3, 2]) {
        await cluster.kubectl.run(['scale', 'imcluster', 'im', `--replicas=${replicas}`])
        await cluster.waitUntilSettled(replicas)
      }
      const before = new Set((await cluster.pods()).map(({ metadata }) => metadata.uid))
      await cluster.kubectl.run(['rollout', 'restart', 'statefulset/im'])
      await waitFor('other pods', 120_000, async () =>
        (await cluster.pods()).every(({ metadata }) => !before.has(metadata.uid)),
      )
      await cluster.waitUntilSettled(2)
      // The container alone ends in good order, and the kubelet starts another.
      await killContainer(cluster.kubectl, 'im-1', 'TERM')
      await waitFor('the restart', 120_000, async () => {
        const pod = await cluster.kubectl.get<PodObject>('pod', 'im-1')
        return pod?.status.containerStatuses?.some(({ restartCount, ready }) => restartCount > 0 && ready)
      })
      await cluster.waitUntilSettled(2)
    })
    t.diagnostic(`${seen.length} versions of the status`)
    assert.ok(seen.some((line) => line.includes('draining')))
    assert.deepEqual(
      seen.filter((line) => /GatewayLost|lost/.test(line)),
      [],
    )
  })

  test('is said of a process that stands still soon after its lease has ended, also while nothing else happens', async (t) => {
    // So long without an event that the cluster is idle.
    const passes = () => readOperatorMetric('im_operator_reconciles_total')
    await waitFor('an idle cluster', 120_000, async () => {
      const before = await passes()
      await delay(5_000)
      return (await passes()) === before
    })
    const lap = startStopwatch(t)
    // As when its node is away: without its kubelet no probe tells of it.
    const node = (await cluster.kubectl.get<PodObject>('pod', 'im-1'))?.spec.nodeName ?? ''
    await run('docker', ['exec', node, 'systemctl', 'stop', 'kubelet'])
    try {
      await killContainer(cluster.kubectl, 'im-1', 'STOP')
      const stoodStillAt = performance.now()
      const { status } = await cluster.waitForCondition('Degraded', 'True', 60_000, 'GatewayLost')
      lap('the condition says GatewayLost, with a lease of 6 s')
      assert.match(status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? '', /im-1: its lease ran out/)
      assert.ok(performance.now() - stoodStillAt < LEASE_MS + SEEN_WITHIN_MS)
    } finally {
      await killContainer(cluster.kubectl, 'im-1', 'CONT')
      await run('docker', ['exec', node, 'systemctl', 'start', 'kubelet'])
    }
    await cluster.waitUntilSettled(2)
    await cluster.waitForCondition('Degraded', 'False', 60_000)
  })
})
