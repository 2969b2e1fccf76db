import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { gatewayImage, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { killContainer } from '../test/kit/kubernetes/operator.ts'
import { waitForNoDeadSession } from './support/sessions.ts'
import { startStopwatch } from './support/stopwatch.ts'

/** As short as the CRD lets it be, so that the deadline of a deletion comes soon: 15 s for the pods and a minute. */
const drain = { rate: 200, deadlineSeconds: 5, jitterSeconds: 0 }

/** What happens to an ImCluster while Redis or NATS is away: how it was before, and how many gateways it has in the end. */
interface Change {
  readonly before: object | undefined
  readonly act: (cluster: TestCluster) => Promise<unknown>
  readonly replicas: number
}

const changes: Readonly<Record<string, Change>> = {
  created: { before: undefined, act: (cluster) => cluster.apply({ replicas: 1, drain }), replicas: 1 },
  grown: { before: { replicas: 1, drain }, act: (cluster) => scale(cluster, 2), replicas: 2 },
  shrunk: { before: { replicas: 2, drain }, act: (cluster) => scale(cluster, 1), replicas: 1 },
  rolled: {
    before: { replicas: 1, drain },
    act: (cluster) => cluster.apply({ replicas: 1, drain, devicePolicy: { preset: 'dual' } }),
    replicas: 1,
  },
  mended: {
    before: { replicas: 1, drain, image: `${gatewayImage}-none`, imagePullPolicy: 'Never' },
    act: (cluster) => cluster.apply({ replicas: 1, drain }),
    replicas: 1,
  },
  bereft: {
    before: { replicas: 1, drain },
    act: (cluster) => cluster.kubectl.run(['delete', 'pod', 'bereft-0', '--force', '--grace-period=0']),
    replicas: 1,
  },
}

function scale(cluster: TestCluster, replicas: number): Promise<string> {
  return cluster.kubectl.run(['scale', 'imcluster', cluster.name, `--replicas=${replicas}`])
}

function remove(cluster: TestCluster): Promise<string> {
  return cluster.kubectl.run(['delete', 'imcluster', cluster.name, '--wait=false'])
}

function waitUntilGone(cluster: TestCluster, timeoutMs: number): Promise<boolean> {
  const what = `the end of the ImCluster ${cluster.name}`
  return waitFor(what, timeoutMs, async () => (await cluster.kubectl.get('imcluster', cluster.name)) === undefined)
}

for (const [server, reason] of [
  ['redis', 'RedisUnavailable'],
  ['nats', 'NatsUnavailable'],
] as const) {
  describe(`${server} away while clusters come, change and go`, () => {
    let servers: TestCluster
    const clusters = new Map<string, TestCluster>()
    const one = (name: string) => clusters.get(name) ?? assert.fail(name)
    let pod = ''

    before(async () => {
      servers = await TestCluster.prepare()
      for (const name of [...Object.keys(changes), 'deleted', 'abandoned']) clusters.set(name, servers.withName(name))
      await Promise.all([
        ...Object.entries(changes).map(([name, { before }]) => before && one(name).apply(before)),
        one('deleted').apply({ replicas: 1, drain: { ...drain, deadlineSeconds: 60 } }),
        one('abandoned').apply({ replicas: 1, drain }),
      ])
      await Promise.all([
        one('mended').waitForCondition('Degraded', 'True', 180_000, 'ImagePullFailed'),
        ...[...clusters.keys()]
          .filter((name) => name !== 'created' && name !== 'mended')
          .map((name) => one(name).waitForCondition('Ready', 'True', 180_000)),
      ])
      pod = (await servers.kubectl.list('pods', `app=${server}`))[0]?.metadata.name ?? ''
    })
    after(async () => {
      await servers[Symbol.asyncDispose]()
    })

    test('each says so, none hangs, and each ends as it should once it is back', async (t) => {
      const tell = startStopwatch(t)
      await killContainer(servers.kubectl, pod, 'STOP')
      try {
        await Promise.all(Object.entries(changes).map(([name, { act }]) => act(one(name))))
        await Promise.all([remove(one('deleted')), remove(one('abandoned'))])
        await Promise.all(
          Object.keys(changes).map((name) => one(name).waitForCondition('Degraded', 'True', 120_000, reason)),
        )
        tell('all have said so')
        if (server === 'redis') await waitForDeadline()
        else await Promise.all(['deleted', 'abandoned'].map((name) => waitUntilGone(one(name), 120_000)))
        tell('deletions')
      } finally {
        await killContainer(servers.kubectl, pod, 'CONT')
      }
      await Promise.all([
        ...Object.entries(changes).map(([name, { replicas }]) => one(name).waitUntilSettled(replicas, 180_000)),
        waitUntilGone(one('deleted'), 120_000),
      ])
      await Promise.all(Object.keys(changes).map((name) => one(name).waitForCondition('Degraded', 'False', 120_000)))
      tell(`all as they should be after ${server} came back`)
      const brokerIds = Object.keys(changes).flatMap((name) => [`${name}-0`, `${name}-1`])
      await waitForNoDeadSession(servers, [...brokerIds, 'deleted-0', 'abandoned-0'], 60_000)
    })

    /** Without Redis a deletion waits; one whose deadline passes lets go, and says what it may have left. */
    async function waitForDeadline(): Promise<void> {
      await one('deleted').waitForCondition('Degraded', 'True', 60_000, reason)
      await waitUntilGone(one('abandoned'), 120_000)
      const events = await servers.kubectl.run(['get', 'events.events.k8s.io', '-o', 'json'])
      const told = (JSON.parse(events) as { items: { reason: string; regarding: { name: string } }[] }).items
      const abandoned = told.filter((event) => event.reason === 'CleanupAbandoned')
      assert.deepEqual(new Set(abandoned.map(({ regarding }) => regarding.name)), new Set(['abandoned']))
      assert.ok(await servers.kubectl.get('imcluster', 'deleted'), 'whose pods may take longer, still waits')
    }

    test(`an ImCluster of a former one's name takes over what that left in the directory`, async () => {
      const known = async () => (await servers.redis('HKEYS', 'im:brokers')).split('\n')
      if (server === 'redis') assert.ok((await known()).some((field) => field.startsWith('abandoned-0/')))
      await one('abandoned').apply({ replicas: 0, drain })
      await one('abandoned').waitUntilSettled(0)
      await one('abandoned').kubectl.run(['delete', 'imcluster', 'abandoned', '--timeout=60s'])
      assert.ok(!(await known()).some((field) => field.startsWith('abandoned-')), 'its register is empty')
    })
  })
}
