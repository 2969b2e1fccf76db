import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { buildClientService } from './client-service.ts'
import { buildTestCluster, fullSpec } from './test-cluster.ts'

const portsOf = (...args: Parameters<typeof buildTestCluster>) =>
  buildClientService(buildTestCluster(...args)).spec.ports

describe('the Service for clients', () => {
  it('has both listeners and reaches any gateway', () => {
    const { metadata, spec } = buildClientService(buildTestCluster())
    assert.equal(metadata.name, 'im')
    assert.deepEqual(spec, {
      type: 'ClusterIP',
      ipFamilyPolicy: 'PreferDualStack',
      sessionAffinity: 'None',
      selector: { 'app.kubernetes.io/name': 'im-gateway', 'app.kubernetes.io/instance': 'im' },
      ports: [
        { name: 'tcp', appProtocol: 'tcp', port: 9000, targetPort: 'tcp', protocol: 'TCP' },
        { name: 'websocket', appProtocol: 'kubernetes.io/ws', port: 8080, targetPort: 'websocket', protocol: 'TCP' },
      ],
    })
  })

  it('has only the listeners that are enabled', () => {
    const names = portsOf({ listeners: { tcp: { enabled: false } } })?.map(({ name }) => name)
    assert.deepEqual(names, ['websocket'])
  })

  it('says that WebSocket is encrypted when it is', () => {
    const [, websocket] = portsOf({ listeners: { tls: { secretName: 'tls' } } }) ?? []
    assert.equal(websocket?.appProtocol, 'kubernetes.io/wss')
  })

  it('takes over what the spec says of it', () => {
    const { metadata, spec } = buildClientService(buildTestCluster(fullSpec))
    assert.deepEqual(metadata.annotations, { 'example.com/lb': 'fast' })
    assert.partialDeepStrictEqual(spec, {
      type: 'LoadBalancer',
      ipFamilyPolicy: 'SingleStack',
      externalTrafficPolicy: 'Local',
      loadBalancerClass: 'example.com/lb',
      ports: [
        { port: 443, nodePort: 30443 },
        { port: 80, nodePort: 30080 },
      ],
    })
  })
})
