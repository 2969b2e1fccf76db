import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'
import { readCustomResource, type Schema } from '../operator/api/crd-schema.ts'
import { findSecurityFaults, lacks, podOf, renderChart, runHelm, runTool, version, type Rendered } from './chart-kit.ts'
import { buildSpecSchema, closeSchema } from './values-schema.ts'

const CHART = 'im-cluster'
const tryout = { tryout: { enabled: true } }
const own = { spec: { redis: { url: 'redis://redis.example:6379' }, nats: { servers: ['nats://nats.example:4222'] } } }

const COMMAND = 'node charts/cluster.test.ts --write'
const schemaFile = fileURLToPath(new URL('im-cluster/values.schema.json', import.meta.url))
const specSchema = readCustomResource().schema.properties?.['spec'] ?? {}

if (process.argv.includes('--write')) {
  writeFileSync(schemaFile, await buildValuesSchema(readFileSync(schemaFile, 'utf8')))
}

/** Puts the schema of ImCluster.spec into that of the chart's values. */
async function buildValuesSchema(text: string): Promise<string> {
  const schema = JSON.parse(text) as { properties: Record<string, unknown> }
  schema.properties['spec'] = buildSpecSchema(specSchema)
  return await format(JSON.stringify(schema), { ...(await resolveConfig(schemaFile)), filepath: schemaFile })
}

type Json = Readonly<Record<string, unknown>>

function find(objects: readonly Rendered[], kind: string, name: string): Rendered {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name)
  assert.ok(found, `${kind} ${name}`)
  return found
}

/** The spec of the one ImCluster. */
function specOf(values: object): Json {
  return find(renderChart(CHART, values), 'ImCluster', 'im')['spec'] as Json
}

/** A value for every field of a schema, so that none can be lost on the way. */
function fill(schema: Schema, key = 'value'): unknown {
  const { type, properties, items, additionalProperties } = schema
  if (properties !== undefined) {
    return Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, fill(property, name)]))
  }
  if (type === 'array') return [fill(items ?? {}, key)]
  if (type === 'object') return { [key]: fill(additionalProperties ?? { type: 'string' }, key) }
  if (type === 'boolean') return true
  if (type === 'integer') return schema.maximum ?? 2_147_483_647
  // Fits every pattern.
  return schema.enum?.[0] ?? '1'
}

test('the schema of the values has that of the CRD', async () => {
  const text = readFileSync(schemaFile, 'utf8')
  assert.equal(text, await buildValuesSchema(text), `out of date; run: ${COMMAND}`)
})

describe('the chart im-cluster', { skip: lacks('helm') }, () => {
  it('is accepted by helm lint', () => {
    for (const values of [tryout, own]) {
      const { ok, output } = runHelm('lint', CHART, values)
      assert.ok(ok, output)
    }
  })

  it('makes one ImCluster, named as the release, and asks for what only its user knows', () => {
    const objects = renderChart(CHART, own)
    assert.deepEqual(
      objects.map(({ kind, metadata }) => [kind, metadata.name, metadata.namespace]),
      [
        ['Secret', 'im-auth', 'chat'],
        ['ImCluster', 'im', 'chat'],
      ],
    )
    assert.deepEqual(specOf(own), {
      ...own.spec,
      image: `im-cluster:${version}`,
      auth: { mode: 'secret', secretRef: { name: 'im-auth', key: 'secret' } },
    })
    const refusals: readonly (readonly [Json, RegExp])[] = [
      [{}, /set spec\.redis\.url, or spec\.redis\.urlSecretRef .* or tryout\.enabled=true/],
      [{ spec: { redis: own.spec.redis } }, /set spec\.nats\.servers, .* or tryout\.enabled=true/],
    ]
    for (const [values, message] of refusals) assert.match(runHelm('template', CHART, values).output, message)
  })

  it('passes every field of spec on as it is', () => {
    const spec = fill(specSchema) as Json
    assert.deepEqual(specOf({ spec }), spec)
    assert.deepEqual(specOf({ spec, ...tryout }), spec, 'also in a try-out')
  })

  it('fills in only what spec leaves out', () => {
    assert.deepEqual(specOf({ ...tryout, spec: { redis: { keyPrefix: 'a:' }, nats: { subjectPrefix: 'a.' } } }), {
      image: `im-cluster:${version}`,
      redis: { url: 'redis://im-redis.chat.svc:6379', keyPrefix: 'a:' },
      nats: { servers: ['nats://im-nats.chat.svc:4222'], subjectPrefix: 'a.' },
      auth: { mode: 'secret', secretRef: { name: 'im-auth', key: 'secret' } },
    })
    const spec = { auth: { mode: 'none' }, image: 'other:1' }
    const objects = renderChart(CHART, { ...tryout, spec })
    const { auth, image } = find(objects, 'ImCluster', 'im')['spec'] as Json
    assert.deepEqual({ auth, image }, spec)
    assert.ok(!objects.some(({ kind }) => kind === 'Secret'), 'a Secret that nobody reads')
  })

  it('has a key for tokens: made up, given, or of a Secret that is there', () => {
    const dataOf = (values: Json) =>
      (find(renderChart(CHART, { ...own, ...values }), 'Secret', 'im-auth') as Rendered & { data: Json }).data
    const key = (values: Json, of = 'secret') => Buffer.from(String(dataOf(values)[of]), 'base64').toString('utf8')
    assert.match(key({}), /^[A-Za-z0-9]{48}$/)
    assert.notEqual(key({}), key({}))
    const secret = '0123456789 "$\' äöü, at least 32 bytes'
    assert.equal(key({ auth: { secret } }), secret)
    assert.equal(key({ auth: { secret, formerSecret: secret } }, 'former'), secret)
    assert.deepEqual(Object.keys(dataOf({ auth: { secret } })), ['secret'])
    const auth = { existingSecret: 'mine', existingSecretKey: 'hs256' }
    const objects = renderChart(CHART, { ...own, auth })
    assert.ok(!objects.some(({ kind }) => kind === 'Secret'))
    assert.deepEqual((find(objects, 'ImCluster', 'im')['spec'] as Json)['auth'], {
      mode: 'secret',
      secretRef: { name: 'mine', key: 'hs256' },
    })
  })

  it('brings a Redis and a NATS for a try-out, which keep to the Pod Security level restricted', () => {
    const objects = renderChart(CHART, tryout)
    assert.deepEqual(objects.flatMap(findSecurityFaults), [])
    const images = objects.map((object) => podOf(object)?.containers[0]?.image).filter((image) => image !== undefined)
    assert.deepEqual(images.toSorted(), [`im-cluster:${version}`, 'nats:2.15.2', 'redis:7.0.15-bookworm'])
    for (const name of ['im-redis', 'im-nats']) {
      find(objects, 'Service', name)
      find(objects, 'NetworkPolicy', name)
      const { strategy, replicas } = find(objects, 'Deployment', name)['spec'] as Json
      assert.deepEqual({ strategy, replicas }, { strategy: { type: 'Recreate' }, replicas: 1 })
    }
    const redis = podOf(find(objects, 'Deployment', 'im-redis'))
    const args = String(redis?.containers[0]?.['args'])
    assert.match(args, /--appendonly,yes/)
    assert.match(args, /--maxmemory-policy,noeviction/)
    assert.deepEqual(redis?.volumes, [{ name: 'data', emptyDir: {} }])
  })

  it('lets Redis and NATS of a try-out run on when only the version of the chart changes', () => {
    const objects = renderChart(CHART, tryout)
    for (const name of ['im-redis', 'im-nats']) {
      const { template } = find(objects, 'Deployment', name)['spec'] as Json
      assert.ok(!JSON.stringify(template).includes(version), name)
    }
  })

  it('keeps the try-out on a volume if wanted', () => {
    const persistence = { enabled: true, size: '2Gi', storageClassName: 'fast' }
    const objects = renderChart(CHART, { tryout: { enabled: true, redis: { persistence } } })
    const { storageClassName, resources } = find(objects, 'PersistentVolumeClaim', 'im-redis')['spec'] as Json
    assert.deepEqual(
      { storageClassName, resources },
      { storageClassName: 'fast', resources: { requests: { storage: '2Gi' } } },
    )
    const pod = podOf(find(objects, 'Deployment', 'im-redis'))
    assert.deepEqual(pod?.volumes, [{ name: 'data', persistentVolumeClaim: { claimName: 'im-redis' } }])
  })

  it('takes a try-out down before its Redis and NATS, with a right to that one ImCluster alone', () => {
    const hooks = renderChart(CHART, tryout).filter(
      ({ metadata }) => metadata.annotations?.['helm.sh/hook'] !== undefined,
    )
    assert.deepEqual(hooks.map(({ kind }) => kind).toSorted(), [
      'ConfigMap',
      'Job',
      'Role',
      'RoleBinding',
      'ServiceAccount',
    ])
    for (const { kind, metadata } of hooks) {
      assert.equal(metadata.annotations?.['helm.sh/hook'], 'pre-delete')
      assert.equal(metadata.annotations['helm.sh/hook-weight'], kind === 'Job' ? '1' : '0')
    }
    assert.deepEqual(find(hooks, 'Role', 'im-uninstall')['rules'], [
      { apiGroups: ['imcluster.io'], resources: ['imclusters'], resourceNames: ['im'], verbs: ['get', 'delete'] },
    ])
  })

  it('refuses mistakes, and says where they are', () => {
    const mistakes: readonly (readonly [Json, RegExp, string?])[] = [
      [{ replicas: 3 }, /'replicas' not allowed/],
      [{ ...tryout, spec: { replica: 3 } }, /at '\/spec'.*'replica' not allowed/],
      [{ ...tryout, spec: { replicas: '3' } }, /spec\/replicas.*want integer/s],
      [{ ...tryout, spec: { drain: { deadline: 3 } } }, /spec\/drain.*'deadline' not allowed/s],
      [{ spec: [] }, /spec.*want object/s],
      [{ tryout: { enable: true } }, /'enable' not allowed/],
      [{ tryout: { enabled: 'yes' } }, /enabled.*want boolean/s],
      [{ auth: { secret: 'short' } }, /auth\/secret/],
      [{ image: { digest: '1' } }, /image\/digest/],
      [{ name: 'Chat' }, /\/name/],
      [tryout, /"chat-headless" cannot name an ImCluster: .* not ending in -headless/, 'chat-headless'],
      [tryout, /"1chat" cannot name an ImCluster: .* first a letter/, '1chat'],
    ]
    for (const [values, message, release] of mistakes) {
      const { ok, output } = runHelm('template', CHART, values, release)
      assert.ok(!ok, JSON.stringify(values))
      assert.match(output, message)
    }
  })

  it('makes ImClusters that fit the CRD', { skip: lacks('kubeconform') }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'im-charts-'))
    try {
      writeFileSync(join(folder, 'imcluster.json'), JSON.stringify(closeSchema(readCustomResource().schema)))
      // Kubernetes' own kinds would be checked by schemas from the network: an API server does that in e2e/.
      const args = ['-strict', '-schema-location', `${folder}/{{ .ResourceKind }}.json`, '-verbose']
      const check = (values: object) => {
        const cluster = find(renderChart(CHART, values), 'ImCluster', 'im')
        return runTool('kubeconform', args, JSON.stringify(cluster))
      }
      for (const values of [tryout, own]) assert.match(check(values).output, /ImCluster im is valid/)
      assert.match(
        check({ ...tryout, image: { repository: 'a'.repeat(513) } }).output,
        /ImCluster im is invalid.*image/s,
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is of the same version as the package, the chart of the operator and the image', () => {
    const dockerfile = readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8')
    assert.equal(/image\.version="(.*)"/.exec(dockerfile)?.[1], version)
    for (const chart of [CHART, 'im-cluster-operator']) {
      const text = readFileSync(new URL(`${chart}/Chart.yaml`, import.meta.url), 'utf8')
      assert.deepEqual(
        [...text.matchAll(/^(?:appV|v)ersion: (.*)$/gm)].map(([, found]) => found),
        [version, version],
        chart,
      )
    }
  })
})
