import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { buildSelector } from '../api/constants.ts'
import type { PodTemplate } from './objects.ts'
import { buildPodTemplate, gracePeriodOf } from './pod-template.ts'
import { buildTestCluster, fullSpec } from './test-cluster.ts'

/** Of the first form for no fields, all fields, and no spread. It never changes: that would restart the gateways it is of. */
const FIRST_FORM = [
  'l4dtVwE6ay0rWPzhBOUyPss4DmrXYNjZ6dJ8tj_6VXM',
  'HUmqEhML_0lZ0yIP41qNcCWXCjU001IcRodg0t3TWVk',
  'GadvZ5anY56sgcLQgpxE88ADNLBgUameVgj2QoqklpM',
]

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
    assert.equal(metadata?.annotations?.['example.com/scrape'], 'true')
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

  it('spreads the pods over nodes beside what the spec says, and counts the pods of the cluster', () => {
    const labelSelector = { matchLabels: buildSelector(buildTestCluster()) }
    const mine = { maxSkew: 2, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }
    const other = { ...mine, labelSelector: { matchLabels: { team: 'chat' } } }
    const nodes = {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'ScheduleAnyway',
      labelSelector,
    }
    const ownNodes = { ...nodes, maxSkew: 3 }
    assert.deepEqual(spreadOf({}), [nodes])
    assert.deepEqual(spreadOf({ topologySpreadConstraints: [mine, other] }), [{ ...mine, labelSelector }, other, nodes])
    assert.deepEqual(spreadOf({ topologySpreadConstraints: [mine, ownNodes] }), [{ ...mine, labelSelector }, ownNodes])
    assert.deepEqual(spreadOf({ topologySpreadConstraints: [] }), [])
  })

  it('has the Secrets as files that may be absent, named like the settings, and in the environment', () => {
    const { spec, metadata } = buildPodTemplate(buildTestCluster(fullSpec))
    assert.equal(metadata?.annotations?.['imcluster.io/template-form'], '2')
    const secret = (name: string, ...items: [string, string][]) => ({
      secret: { name, items: items.map(([path, key]) => ({ key, path })), optional: true },
    })
    assert.deepEqual(spec?.volumes?.[1], {
      name: 'secrets',
      projected: {
        defaultMode: 0o444,
        sources: [
          secret('redis', ['IM_REDIS_URL', 'url']),
          secret('nats', ['IM_NATS_USER', 'user'], ['IM_NATS_PASSWORD', 'password']),
          secret('auth', ['IM_AUTH_SECRET', 'secret'], ['IM_AUTH_FORMER_SECRET', 'former']),
        ],
      },
    })
    assert.deepEqual(containerOf(buildPodTemplate(buildTestCluster(fullSpec))).volumeMounts?.[1], {
      name: 'secrets',
      mountPath: '/etc/im-cluster/secrets',
      readOnly: true,
    })
  })

  it('is the same as that of 0.2.0 in its first form, byte for byte', () => {
    const digests = [{}, fullSpec, { podTemplate: { topologySpreadConstraints: [] } }].map((spec) => {
      const json = JSON.stringify(buildPodTemplate(buildTestCluster(spec), 1))
      return createHash('sha256').update(json).digest('base64url')
    })
    assert.deepEqual(digests, FIRST_FORM)
  })
})
