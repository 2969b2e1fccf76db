import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { isReady, waitFor, type PodObject } from '../test/kit/kubernetes/kubernetes.ts'
import { waitForNoDeadSession } from './support/sessions.ts'
import { startStopwatch } from './support/stopwatch.ts'
import { reachable, Traffic } from '../test/kit/kubernetes/traffic.ts'

const REPLICAS = 3
const DRAIN_MS = 240_000

describe('a node that is drained, with clients connected', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ ...reachable, replicas: REPLICAS })
    await cluster.waitUntilSettled(REPLICAS)
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  test('its gateways leave one at a time, each after its clients, and nothing is lost', async (t) => {
    const pods = await cluster.pods()
    const node = findFullest(pods)
    const leaving = pods.filter(({ spec }) => spec.nodeName === node)
    assert.ok(leaving.length > 1, 'two gateways on one node, or none has to wait')
    await using traffic = await Traffic.start(cluster, 6)
    await traffic.flowsForAll()

    const lap = startStopwatch(t)
    try {
      const fewest = await drain(cluster, node)
      lap(`kubectl drain of ${leaving.length} gateways of ${REPLICAS}`)
      assert.ok(fewest >= REPLICAS - 1, `${fewest} of ${REPLICAS} gateways were up at some time`)
      await cluster.waitUntilSettled(REPLICAS)
      lap('settled on other nodes')
      assert.ok((await cluster.pods()).every(({ spec }) => spec.nodeName !== node))
      for (const { metadata } of leaving) {
        const record = await waitFor(`the record of ${metadata.name}`, 60_000, async () =>
          (await cluster.read()).status?.cleanups.find(({ podUid }) => podUid === metadata.uid),
        )
        // It gave its lease back itself, and took every session with it: that is what its drain does.
        assert.equal(record.proof.lease, 'LeaseReleased')
        assert.deepEqual([record.sessionsRemoved, record.orphansLeft], [0, 0])
      }
      await traffic.flowsForAll()
      assert.deepEqual(traffic.interruptions, [])
      const { messages } = await traffic.finish()
      t.diagnostic(`${messages} messages, none lost`)
      await waitForNoDeadSession(cluster, ['im-0', 'im-1', 'im-2'], 10_000)
    } finally {
      await run('kubectl', ['uncordon', node])
    }
  })
})

function findFullest(pods: readonly PodObject[]): string {
  const counts = new Map<string, number>()
  for (const { spec } of pods) counts.set(spec.nodeName ?? '', (counts.get(spec.nodeName ?? '') ?? 0) + 1)
  const [[node] = ['']] = [...counts].toSorted(([, a], [, b]) => b - a)
  return node
}

/** Drains a node, and returns how many gateways were ready at the least. */
async function drain(cluster: TestCluster, node: string): Promise<number> {
  let ended = false
  let fewest = Infinity
  const args = ['drain', node, '--ignore-daemonsets', '--delete-emptydir-data', `--timeout=${DRAIN_MS / 1000}s`]
  await Promise.all([
    run('kubectl', args, { timeoutMs: DRAIN_MS + 10_000 }).finally(() => (ended = true)),
    waitFor('the end of the drain', DRAIN_MS + 10_000, async () => {
      fewest = Math.min(fewest, (await cluster.pods()).filter(isReady).length)
      return ended
    }),
  ])
  return fewest
}
