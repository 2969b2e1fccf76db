// Labels and names of ports by which objects of the charts find each other, and find what the operator makes.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { buildStatefulSet } from '../operator/build/stateful-set.ts'
import { buildTestCluster } from '../operator/build/test-cluster.ts'
import { lacks, renderChart, type Rendered } from './chart-kit.ts'

type Labels = Readonly<Record<string, string>>

interface Peer {
  readonly podSelector: { readonly matchLabels: Labels }
}

/** A pod that a selector may be for. */
interface Target {
  readonly labels: Labels
  /** Names of its ports. */
  readonly ports: readonly string[]
}

function buildTarget({ metadata, spec }: { metadata?: { labels?: Labels }; spec?: unknown } = {}): Target {
  const { containers = [] } = spec as { containers?: { ports?: { name: string }[] }[] }
  return {
    labels: metadata?.labels ?? {},
    ports: containers.flatMap(({ ports = [] }) => ports.map(({ name }) => name)),
  }
}

const targetOf = (object: Rendered | undefined) =>
  buildTarget((object?.['spec'] as { template?: object } | undefined)?.template)
const gateway = buildTarget(buildStatefulSet(buildTestCluster({}, 'im')).spec?.template)

function selects(selector: unknown, labels: Labels): boolean {
  const entries = Object.entries((selector ?? {}) as Labels)
  return entries.length > 0 && entries.every(([name, value]) => labels[name] === value)
}

/** A field at a path of names and positions. */
function read(object: unknown, ...path: readonly (string | number)[]): unknown {
  let value = object
  for (const key of path) value = (value as Record<string | number, unknown> | undefined)?.[key]
  return value
}

describe('selectors', { skip: lacks('helm') }, () => {
  const metrics = { serviceMonitor: { enabled: true }, gatewayPodMonitor: { enabled: true } }
  const objects = [
    ...renderChart('im-cluster-operator', { metrics, podLabels: { team: 'chat' } }),
    ...renderChart('im-cluster', { tryout: { enabled: true } }),
  ]
  const find = (kind: string, name: string): Rendered => {
    const found = objects.find((object) => object.kind === kind && object.metadata.name === name)
    assert.ok(found, `${kind} ${name}`)
    return found
  }
  const operator = targetOf(find('Deployment', 'im-im-cluster-operator'))

  it('of Services choose pods by each family that Kubernetes has', () => {
    const found = objects.filter(({ kind }) => kind === 'Service')
    assert.equal(found.length, 3)
    for (const service of found) assert.equal(read(service, 'spec', 'ipFamilyPolicy'), 'PreferDualStack')
  })

  it('of the budget and the policy of the network are of the operator', () => {
    for (const kind of ['PodDisruptionBudget', 'NetworkPolicy', 'Deployment']) {
      const object = find(kind, 'im-im-cluster-operator')
      const selector = kind === 'NetworkPolicy' ? 'podSelector' : 'selector'
      assert.ok(selects(read(object, 'spec', selector, 'matchLabels'), operator.labels), kind)
    }
  })

  it('of the monitors lead to the ports with metrics', () => {
    const service = find('Service', 'im-im-cluster-operator-metrics')
    const monitor = find('ServiceMonitor', 'im-im-cluster-operator')
    assert.ok(selects(read(monitor, 'spec', 'selector', 'matchLabels'), service.metadata.labels ?? {}))
    assert.equal(read(monitor, 'spec', 'endpoints', 0, 'port'), read(service, 'spec', 'ports', 0, 'name'))
    assert.ok(selects(read(service, 'spec', 'selector'), operator.labels))
    assert.ok(operator.ports.includes(String(read(service, 'spec', 'ports', 0, 'targetPort'))))
    const podMonitor = find('PodMonitor', 'im-im-cluster-operator-gateways')
    assert.ok(selects(read(podMonitor, 'spec', 'selector', 'matchLabels'), gateway.labels))
    assert.ok(gateway.ports.includes(String(read(podMonitor, 'spec', 'podMetricsEndpoints', 0, 'port'))))
  })

  it('of a try-out let gateways and operator to Redis and NATS, and nobody else', () => {
    for (const server of ['redis', 'nats']) {
      const { labels, ports } = targetOf(find('Deployment', `im-${server}`))
      const service = find('Service', `im-${server}`)
      assert.ok(selects(read(service, 'spec', 'selector'), labels))
      assert.ok(ports.includes(String(read(service, 'spec', 'ports', 0, 'targetPort'))))
      const policy = find('NetworkPolicy', `im-${server}`)
      assert.ok(selects(read(policy, 'spec', 'podSelector', 'matchLabels'), labels))
      assert.equal(read(policy, 'spec', 'ingress', 0, 'ports', 0, 'port'), read(service, 'spec', 'ports', 0, 'port'))
      const peers = read(policy, 'spec', 'ingress', 0, 'from') as readonly Peer[]
      const allowed = (to: Target) => peers.some(({ podSelector }) => selects(podSelector.matchLabels, to.labels))
      assert.ok(allowed(gateway) && allowed(operator))
      assert.ok(!allowed({ labels, ports }))
    }
  })
})
