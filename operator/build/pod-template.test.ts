import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { buildSelector } from '../api/constants.ts'
import type { PodTemplate } from './objects.ts'
import { buildPodTemplate, gracePeriodOf } from './pod-template.ts'
import { buildTestCluster, fullSpec } from './test-cluster.ts'

function containerOf(template: PodTemplate) {
  const [container, ...others] = template.spec?.containers ?? []
  assert.ok(container)
  assert.deepEqual(others, [])
  return container
}

function spreadOf(podTemplate: object) {
  return buildPodTemplate(buildTestCluster({ podTemplate })).spec?.topologySpreadConstraints
}

describe('the pod template', () => {
  it('depends on nothing but the parts of the spec that are about pods', () => {
    const template = buildPodTemplate(buildTestCluster())
    const other = buildTestCluster({
      replicas: 9,
      listeners: { tcp: { enabled: false }, websocket: { port: 80 } },
      service: { type: 'NodePort', annotations: { a: 'b' } },
      podDisruptionBudget: { maxUnavailable: 3 },
      paused: true,
    })
    other.metadata.uid = 'other'
    other.metadata.generation = 7
    other.metadata.labels = { x: 'y' }
    assert.equal(JSON.stringify(buildPodTemplate(other)), JSON.stringify(template))
  })

  it('changes with every part that a gateway reads at its start', () => {
    const former = JSON.stringify(buildPodTemplate(buildTestCluster()))
    for (const change of [
      { image: 'im-cluster:next' },
      { devicePolicy: { preset: 'single' } },
      { listeners: { tls: { secretName: 'tls' } } },
      { drain: { rate: 1 } },
      { resources: { requests: { cpu: '1' } } },
    ] as const) {
      assert.notEqual(JSON.stringify(buildPodTemplate(buildTestCluster(change))), former, JSON.stringify(change))
    }
  })

  it('is what the Pod Security level restricted asks for, without a token for the API', () => {
    for (const spec of [{}, fullSpec]) {
      const template = buildPodTemplate(buildTestCluster(spec))
      assert.partialDeepStrictEqual(template.spec, {
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        serviceAccountName: 'im',
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      })
      assert.deepEqual(containerOf(template).securityContext, {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
      })
    }
  })

  it('keeps the labels of the selector, whatever labels the spec adds', () => {
    const cluster = buildTestCluster({
      podTemplate: { metadata: { labels: { team: 'chat', 'app.kubernetes.io/instance': 'other' } } },
    })
    assert.partialDeepStrictEqual(buildPodTemplate(cluster).metadata?.labels, {
      team: 'chat',
      ...buildSelector(cluster),
    })
  })

  it('takes over what the spec says of pods', () => {
    const { metadata, spec } = buildPodTemplate(buildTestCluster(fullSpec))
    assert.deepEqual(metadata?.annotations, { 'example.com/scrape': 'true' })
    assert.partialDeepStrictEqual(spec, {
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'chat', operator: 'Exists', effect: 'NoSchedule' }],
      priorityClassName: 'system-cluster-critical',
      imagePullSecrets: [{ name: 'pull' }],
      securityContext: { runAsUser: 1000, runAsGroup: 1000, runAsNonRoot: true },
      containers: [{ resources: { requests: { cpu: '500m', memory: '512Mi' }, limits: { memory: '1Gi' } } }],
    })
  })

  it('mounts the TLS Secret as a directory, which the kubelet renews without a restart', () => {
    const template = buildPodTemplate(buildTestCluster({ listeners: { tls: { secretName: 'tls' } } }))
    assert.deepEqual(template.spec?.volumes, [{ name: 'tls', secret: { secretName: 'tls', defaultMode: 0o444 } }])
    assert.deepEqual(containerOf(template).volumeMounts, [
      { name: 'tls', mountPath: '/etc/im-cluster/tls', readOnly: true },
    ])
    const { volumes } = buildPodTemplate(buildTestCluster()).spec ?? {}
    assert.equal(volumes, undefined)
  })

  it('asks for readiness and life on the admin port', () => {
    const { startupProbe, readinessProbe, livenessProbe, ports } = containerOf(buildPodTemplate(buildTestCluster()))
    assert.deepEqual(
      [startupProbe, readinessProbe, livenessProbe].map((probe) => probe?.httpGet),
      ['/livez', '/readyz', '/livez'].map((path) => ({ path, port: 'admin' })),
    )
    assert.deepEqual(
      ports?.map(({ name, containerPort }) => [name, containerPort]),
      [
        ['tcp', 9000],
        ['websocket', 8080],
        ['admin', 9090],
      ],
    )
  })

  it('gives a gateway the time to drain and to leave', () => {
    const drain = { deadlineSeconds: 100 }
    assert.equal(gracePeriodOf(buildTestCluster({ drain }).spec), 115)
    assert.equal(gracePeriodOf(buildTestCluster({ drain, terminationGracePeriodSeconds: 200 }).spec), 200)
    assert.equal(buildPodTemplate(buildTestCluster({ drain })).spec?.terminationGracePeriodSeconds, 115)
  })

  it('spreads the pods over nodes unless the spec says how, and counts the pods of the cluster', () => {
    const labelSelector = { matchLabels: buildSelector(buildTestCluster()) }
    const mine = { maxSkew: 2, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }
    const other = { ...mine, labelSelector: { matchLabels: { team: 'chat' } } }
    assert.deepEqual(spreadOf({}), [
      { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', labelSelector },
    ])
    assert.deepEqual(spreadOf({ topologySpreadConstraints: [mine, other] }), [{ ...mine, labelSelector }, other])
    assert.deepEqual(spreadOf({ topologySpreadConstraints: [] }), [])
  })
})
