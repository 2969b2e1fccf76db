import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { buildNetworkPolicy } from './network-policy.ts'
import { buildTestCluster } from './test-cluster.ts'

const own = {
  podSelector: { matchLabels: { 'app.kubernetes.io/name': 'im-gateway', 'app.kubernetes.io/instance': 'im' } },
}
const clients = [
  { port: 9000, protocol: 'TCP' },
  { port: 8080, protocol: 'TCP' },
]
const admin = [{ port: 9090, protocol: 'TCP' }]

describe('the NetworkPolicy of the gateways', () => {
  it('is there when it is asked for', () => {
    assert.equal(buildNetworkPolicy(buildTestCluster()), undefined)
    assert.equal(buildNetworkPolicy(buildTestCluster({ networkPolicy: { enabled: false, adminFrom: [] } })), undefined)
  })

  it('lets clients in from everywhere and the gateways of the cluster to each other, and restricts nothing else', () => {
    const policy = buildNetworkPolicy(buildTestCluster({ networkPolicy: { enabled: true } }))
    assert.deepEqual(policy?.spec, {
      ...own,
      policyTypes: ['Ingress'],
      ingress: [{ ports: clients }, { ports: admin, from: [own] }],
    })
    assert.deepEqual(
      [policy?.metadata.name, policy?.metadata.ownerReferences?.[0]?.kind, policy?.kind],
      ['im', 'ImCluster', 'NetworkPolicy'],
    )
  })

  it('lets in and out those that the spec names, and always DNS and the other gateways', () => {
    const clientsFrom = [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }]
    const adminFrom = [{ namespaceSelector: { matchLabels: { team: 'monitoring' } } }]
    const egress = [{ to: [{ podSelector: {} }], ports: [{ port: 6379, protocol: 'TCP' as const }] }]
    const networkPolicy = { enabled: true, clientsFrom, adminFrom, egress }
    assert.deepEqual(buildNetworkPolicy(buildTestCluster({ networkPolicy }))?.spec, {
      ...own,
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { ports: clients, from: clientsFrom },
        { ports: admin, from: [own, ...adminFrom] },
      ],
      egress: [
        {
          ports: [
            { port: 53, protocol: 'UDP' },
            { port: 53, protocol: 'TCP' },
          ],
        },
        { ports: admin, to: [own] },
        ...egress,
      ],
    })
  })

  it('lets nothing out but to DNS and each other where the list is empty', () => {
    const { egress } =
      buildNetworkPolicy(buildTestCluster({ networkPolicy: { enabled: true, egress: [] } }))?.spec ?? {}
    assert.equal(egress?.length, 2)
  })
})
