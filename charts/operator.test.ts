import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it, test } from 'node:test'
import { parseSettings } from '../operator/settings.ts'
import {
  findSecurityFaults,
  lacks,
  parseYaml,
  podOf,
  renderChart,
  runHelm,
  version,
  type Rendered,
} from './chart-kit.ts'

const CHART = 'im-cluster-operator'
const COMMAND = 'node charts/operator.test.ts --write'
const source = new URL('../crds/imcluster.yaml', import.meta.url)
const copy = new URL('im-cluster-operator/files/imcluster.yaml', import.meta.url)

if (process.argv.includes('--write')) writeFileSync(copy, readFileSync(source))

const everything = {
  metrics: {
    serviceMonitor: { enabled: true },
    gatewayPodMonitor: { enabled: true },
    dashboard: { enabled: true },
    prometheusRule: { enabled: true },
    rulesConfigMap: { enabled: true },
  },
}

test('the chart has the CRD of crds/', () => {
  assert.equal(readFileSync(copy, 'utf8'), readFileSync(source, 'utf8'), `out of date; run: ${COMMAND}`)
})

const isHook = ({ metadata }: Rendered) => metadata.annotations?.['helm.sh/hook'] !== undefined
/** Of those that are there while the release is: no hooks. */
const findKind = (objects: readonly Rendered[], kind: string) =>
  objects.filter((object) => object.kind === kind && !isHook(object))
const findOne = (objects: readonly Rendered[], kind: string): Rendered => {
  const [found, ...more] = findKind(objects, kind)
  assert.ok(found !== undefined && more.length === 0, `${kind} ×${more.length + (found ? 1 : 0)}`)
  return found
}
const operatorPod = (values: object) => {
  const pod = podOf(findOne(renderChart(CHART, values), 'Deployment'))
  assert.ok(pod)
  const [container] = pod.containers
  assert.ok(container)
  return { pod, container }
}

const rulesOf = (object: Rendered) =>
  (object['rules'] as { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] }[])
    .flatMap(({ apiGroups, resources, resourceNames = [''], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => resourceNames.map((name) => `${group}/${resource}/${name}: ${verbs.join()}`)),
      ),
    )
    .toSorted()
const imageOf = (value: object) =>
  operatorPod({ image: { repository: 'registry.example:5000/im', ...value } }).container.image
const kindsOf = (values: object) => renderChart(CHART, values).map(({ kind }) => kind)
const policyOf = (values: object) => findOne(renderChart(CHART, { networkPolicy: values }), 'NetworkPolicy')['spec']

describe('the chart im-cluster-operator', { skip: lacks('helm') }, () => {
  it('is accepted by helm lint', () => {
    for (const values of [{}, everything, { watchNamespace: 'chat' }]) {
      const { ok, output } = runHelm('lint', CHART, values)
      assert.ok(ok, output)
    }
  })

  it('installs the CRD as it is, so that an upgrade upgrades it and an uninstall keeps it', () => {
    const { metadata, ...rest } = findOne(renderChart(CHART), 'CustomResourceDefinition')
    const { metadata: wantedMetadata, ...wanted } = parseYaml(readFileSync(source, 'utf8')) as Rendered
    assert.deepEqual(rest, wanted)
    assert.equal(metadata.name, wantedMetadata.name)
    assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep')
    assert.equal(metadata.annotations['helm.sh/hook'], undefined, 'a hook would delete it, and every ImCluster')
    assert.deepEqual(findKind(renderChart(CHART, { crds: { install: false } }), 'CustomResourceDefinition'), [])
  })

  it('asks for these rights and no others', () => {
    const watched = [
      '/pods/: get,list,watch',
      '/secrets/: get',
      '/serviceaccounts/: get,list,watch,create,patch',
      '/services/: get,list,watch,create,patch',
      'apps/statefulsets/: get,list,watch,create,patch,delete',
      'events.k8s.io/events/: create,list,patch',
      'imcluster.io/imclusters/: list,watch,patch',
      'imcluster.io/imclusters/finalizers/: update',
      'imcluster.io/imclusters/status/: patch',
      'networking.k8s.io/networkpolicies/: get,list,watch,create,patch,delete',
      'policy/poddisruptionbudgets/: get,list,watch,create,patch,delete',
    ]
    const own = ['coordination.k8s.io/leases/: create', 'coordination.k8s.io/leases/im-im-cluster-operator: get,update']
    const wide = renderChart(CHART)
    assert.deepEqual(rulesOf(findOne(wide, 'ClusterRole')), watched)
    assert.deepEqual(rulesOf(findOne(wide, 'Role')), own)
    assert.equal(findOne(wide, 'Role').metadata.namespace, 'chat')

    const narrow = renderChart(CHART, { watchNamespace: 'tenant' })
    assert.deepEqual(findKind(narrow, 'ClusterRole').concat(findKind(narrow, 'ClusterRoleBinding')), [])
    const roles = findKind(narrow, 'Role').map((role) => [role.metadata.namespace, rulesOf(role)])
    assert.deepEqual(roles, [
      ['tenant', watched],
      ['chat', own],
    ])
    const subject = { kind: 'ServiceAccount', name: 'im-im-cluster-operator', namespace: 'chat' }
    for (const binding of [...findKind(narrow, 'RoleBinding'), findOne(wide, 'ClusterRoleBinding')]) {
      assert.deepEqual(binding['subjects'], [subject])
    }
    const none = renderChart(CHART, { rbac: { create: false } }).map(({ kind }) => kind)
    assert.deepEqual(
      none.filter((kind) => kind.includes('Role')),
      [],
    )
  })

  it('keeps to the Pod Security level restricted, with a read-only root', () => {
    assert.deepEqual(renderChart(CHART, everything).flatMap(findSecurityFaults), [])
    assert.equal(findOne(renderChart(CHART), 'ServiceAccount')['automountServiceAccountToken'], false)
  })

  it('has no object outside the namespaces it is told, but for what has none', () => {
    const clusterWide = ['CustomResourceDefinition', 'ClusterRole', 'ClusterRoleBinding']
    for (const { kind, metadata } of renderChart(CHART, everything)) {
      assert.equal(metadata.namespace, clusterWide.includes(kind) ? undefined : 'chat', kind)
      assert.equal(metadata.labels?.['app.kubernetes.io/managed-by'], 'Helm', kind)
    }
  })

  it('gives the operator settings that it knows, and each value of the chart its effect', () => {
    const { container } = operatorPod({ watchNamespace: 'tenant', logLevel: 'debug', concurrency: 9, leaseSeconds: 30 })
    const env = Object.fromEntries((container.env ?? []).map(({ name, value = 'from-the-pod' }) => [name, value]))
    const settings = parseSettings(env)
    const { namespace, podName, leaseName, watchNamespace, adminPort, concurrency, leaseSeconds, logLevel } = settings
    assert.deepEqual(
      { namespace, podName, leaseName, watchNamespace, adminPort, concurrency, leaseSeconds, logLevel },
      {
        namespace: 'from-the-pod',
        podName: 'from-the-pod',
        leaseName: 'im-im-cluster-operator',
        watchNamespace: 'tenant',
        adminPort: 8081,
        concurrency: 9,
        leaseSeconds: 30,
        logLevel: 'debug',
      },
    )
    assert.equal(parseSettings({}).adminPort, 8081, 'the port of the probes is the default, too')
  })

  it('names the image by tag, digest or both', () => {
    const digest = `sha256:${'a'.repeat(64)}`
    assert.equal(imageOf({}), `registry.example:5000/im:${version}`)
    assert.equal(imageOf({ tag: '1.2' }), 'registry.example:5000/im:1.2')
    assert.equal(imageOf({ digest }), `registry.example:5000/im@${digest}`)
    assert.equal(imageOf({ tag: '1.2', digest }), `registry.example:5000/im:1.2@${digest}`)
  })

  it('passes on what a pod may have', () => {
    const values = {
      imagePullSecrets: [{ name: 'pull' }],
      priorityClassName: 'high',
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }],
    }
    const { pod, container } = operatorPod({ ...values, env: [{ name: 'NO_PROXY', value: '10.0.0.0/8' }] })
    for (const [name, value] of Object.entries(values)) assert.deepEqual(pod[name], value, name)
    assert.equal(container.env?.at(-1)?.name, 'NO_PROXY')
  })

  it('has a budget and a policy of the network, unless they are not wanted', () => {
    assert.ok(kindsOf({}).includes('PodDisruptionBudget'))
    assert.ok(!kindsOf({ replicas: 1 }).includes('PodDisruptionBudget'), 'it would block every node drain')
    assert.ok(!kindsOf({ podDisruptionBudget: { enabled: false } }).includes('PodDisruptionBudget'))
    assert.ok(!kindsOf({ networkPolicy: { enabled: false } }).includes('NetworkPolicy'))
    const podSelector = {
      matchLabels: { 'app.kubernetes.io/name': 'im-cluster-operator', 'app.kubernetes.io/instance': 'im' },
    }
    const ports = [{ port: 'admin', protocol: 'TCP' }]
    assert.deepEqual(policyOf({}), { podSelector, policyTypes: ['Ingress'], ingress: [{ ports }] })
    const from = [{ namespaceSelector: {} }]
    assert.deepEqual(policyOf({ ingressFrom: from, egress: [{ ports: [{ port: 443 }] }] }), {
      podSelector,
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ ports, from }],
      egress: [{ ports: [{ port: 443 }] }],
    })
  })

  it('takes the finalizers off by a hook when it is gone, with rights to nothing else, that end with the hook', () => {
    const hooksOf = (values: object) => renderChart(CHART, values).filter(isHook)
    const release = [
      'coordination.k8s.io/leases/: create',
      'coordination.k8s.io/leases/im-im-cluster-operator: get,update',
    ]
    for (const watchNamespace of ['', 'tenant']) {
      const hooks = hooksOf({ watchNamespace })
      for (const { metadata } of hooks) {
        assert.equal(metadata.annotations?.['helm.sh/hook'], 'post-delete')
        assert.equal(metadata.annotations['helm.sh/hook-delete-policy'], 'before-hook-creation,hook-succeeded')
      }
      const roles = hooks.filter(({ kind }) => kind.endsWith('Role'))
      assert.deepEqual(
        roles.map((role) => [role.kind, role.metadata.namespace, rulesOf(role)]),
        [
          watchNamespace === ''
            ? ['ClusterRole', undefined, ['imcluster.io/imclusters/: list,patch']]
            : ['Role', watchNamespace, ['imcluster.io/imclusters/: list,patch']],
          ['Role', 'chat', release],
        ],
      )
      const job = hooks.find(({ kind }) => kind === 'Job')
      const account = hooks.find(({ kind }) => kind === 'ServiceAccount')
      assert.ok(job && podOf(job)?.['serviceAccountName'] === account?.metadata.name)
      const weight = ({ metadata }: Rendered) => Number(metadata.annotations?.['helm.sh/hook-weight'])
      assert.ok(hooks.every((hook) => hook === job || weight(hook) < weight(job)))
    }
  })

  it('runs that hook as the operator, by the same Lease, image and settings', () => {
    const values = {
      watchNamespace: 'tenant',
      logLevel: 'debug',
      leaseSeconds: 30,
      imagePullSecrets: [{ name: 'pull' }],
      tolerations: [{ operator: 'Exists' }],
      nodeSelector: { disk: 'ssd' },
      env: [{ name: 'NO_PROXY', value: '10.0.0.0/8' }],
    }
    const { pod, container } = operatorPod(values)
    const job = renderChart(CHART, values).find(({ kind }) => kind === 'Job')
    const hook = job && podOf(job)
    const [released] = hook?.containers ?? []
    assert.ok(hook && released)
    for (const field of ['imagePullSecrets', 'tolerations', 'nodeSelector']) assert.deepEqual(hook[field], pod[field])
    assert.deepEqual([released.image, released['command']], [container.image, ['node', 'operator/main.ts', 'release']])
    const own = new Map(released.env?.map((variable) => [variable.name, variable]))
    for (const variable of container.env ?? []) {
      const { name } = variable
      if (!/_(ADMIN_PORT|CONCURRENCY)$/.test(name)) assert.deepEqual(own.get(name), variable, name)
    }
    const spec = job['spec'] as { activeDeadlineSeconds: number; backoffLimit: number }
    assert.deepEqual([spec.activeDeadlineSeconds, spec.backoffLimit], [150, 2])
  })

  it('lets a given ServiceAccount do it where the chart makes no rights, and leaves it where there would be none', () => {
    const hooksOf = (values: object) => renderChart(CHART, { rbac: { create: false }, ...values }).filter(isHook)
    assert.deepEqual(hooksOf({}), [])
    const hooks = hooksOf({ serviceAccount: { create: false, name: 'mine' } })
    assert.deepEqual(hooks.map(({ kind }) => kind).toSorted(), ['Job', 'NetworkPolicy'])
    const job = hooks.find(({ kind }) => kind === 'Job')
    assert.equal(job && podOf(job)?.['serviceAccountName'], 'mine')
  })

  it('refuses mistakes, and says where they are', () => {
    const mistakes: readonly (readonly [object, RegExp])[] = [
      [{ replica: 3 }, /'replica' not allowed/],
      [{ replicas: '3' }, /replicas.*want integer/s],
      [{ image: { repository: 'im@sha256:1' } }, /image\/repository/],
      [{ image: { digest: 'sha1:1' } }, /image\/digest/],
      [{ image: { pullPolicy: 'always' } }, /pullPolicy.*'Always', 'IfNotPresent', 'Never'/s],
      [{ logLevel: 'verbose' }, /logLevel.*'info'/s],
      [{ leaseSeconds: 1 }, /leaseSeconds/],
      [{ env: [{ name: 'IM_OPERATOR_ADMIN_PORT', value: '1' }] }, /env\/0\/name/],
      [{ watchNamespace: 'A B' }, /watchNamespace/],
      [{ metrics: { serviceMonitor: { enable: true } } }, /'enable' not allowed/],
      [{ podDisruptionBudget: { maxUnavailable: 0 } }, /maxUnavailable/],
      [{ serviceAccount: { create: false } }, /needs serviceAccount\.name/],
    ]
    for (const [values, message] of mistakes) {
      const { ok, output } = runHelm('template', CHART, values)
      assert.ok(!ok, JSON.stringify(values))
      assert.match(output, message)
    }
  })
})
