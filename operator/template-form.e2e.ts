import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { imClusters } from './api/constants.ts'
import type { ImCluster } from './api/imcluster.ts'
import { statefulSets, type StatefulSet } from './build/objects.ts'
import { buildStatefulSet } from './build/stateful-set.ts'
import { formOfTemplate } from './build/template-form.ts'
import { ClusterMemory } from './reconcile/context.ts'
import { withDigest } from './reconcile/drift.ts'
import { chooseForm } from './reconcile/template-form.ts'
import { KubeApi } from '../controller/api.ts'
import { stripBulk } from '../controller/reflector.ts'
import { readKubeConfig } from '../controller/test-kit.ts'

const fieldManager = 'im-cluster-operator'

describe('a StatefulSet that an operator of 0.2.0 has made', () => {
  const stack = new AsyncDisposableStack()
  const signal = AbortSignal.timeout(300_000)
  let servers: TestCluster
  let api: KubeApi
  let cluster: ImCluster
  before(async () => {
    servers = stack.use(await TestCluster.prepare())
    api = stack.use(new KubeApi(readKubeConfig()))
    // Its API server writes 1 for this.
    const podTemplate = {
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }],
    }
    await servers.apply({
      paused: true,
      replicas: 1,
      resources: { requests: { cpu: '50m', memory: '65536Ki' } },
      podTemplate,
    })
    cluster = await api.get(imClusters, { namespace: servers.kubectl.namespace, name: servers.name }, { signal })
    await api.apply(statefulSets, withDigest(buildStatefulSet(cluster, 1)), { fieldManager, signal })
  })
  after(() => stack.disposeAsync())

  const read = (): Promise<StatefulSet> => api.get(statefulSets, cluster.metadata, { signal })

  /** What an operator chooses that has just started, and sees the StatefulSet as it is. */
  async function choose(spec: Partial<ImCluster['spec']> = {}): Promise<number> {
    const live = stripBulk(await read())
    const context = { api, memory: new ClusterMemory(), readStored: () => live as never }
    return chooseForm(context, { ...cluster, spec: { ...cluster.spec, ...spec } }, signal)
  }

  test('keeps its form while nothing changes that restarts gateways, and gets the newest with what does', async () => {
    assert.equal(await choose(), 1)
    assert.equal(await choose({ replicas: 4 }), 1)
    assert.equal(await choose({ image: 'other' }), 2)
    assert.equal(await choose({ resources: undefined as never }), 2)
    // As one of another release would have left it.
    await servers.kubectl.run(['annotate', 'statefulset', 'im', '--overwrite', 'imcluster.io/applied=other'])
    assert.equal(await choose(), 1)
    await servers.kubectl.run(['rollout', 'restart', 'statefulset/im'])
    assert.equal(await choose(), 1)
  })

  test('is taken over by the operator without a change of its pods, until the spec changes them', async () => {
    const before = await read()
    await servers.kubectl.patch('imcluster', 'im', { spec: { paused: false, replicas: 2 } })
    await servers.waitUntilSettled(2)
    const kept = await read()
    assert.deepEqual(kept.spec.template, before.spec.template)
    assert.notEqual(kept.metadata.annotations?.['imcluster.io/applied'], 'other')
    await servers.kubectl.patch('imcluster', 'im', { spec: { devicePolicy: { preset: 'dual' } } })
    await servers.waitUntilSettled(2)
    const renewed = await read()
    assert.equal(formOfTemplate(renewed), 2)
    assert.equal(renewed.spec.template.spec?.topologySpreadConstraints?.length, 2)
  })
})
