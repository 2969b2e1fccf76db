import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readCustomResource, walkFields } from '../api/crd-schema.ts'
import type { ImClusterSpec } from '../api/imcluster.ts'
import { buildGatewayEnvironment, mappedSettings, settingsLeftToGateway } from './gateway-environment.ts'
import { buildTestCluster, fullSpec } from './test-cluster.ts'
import { parseGatewaySettings, readClientTypes, readGatewaySettings, resolveEnvironment } from './test-gateway.ts'

const { schema } = readCustomResource()
const minimal = buildTestCluster().spec
const environmentOf = (spec: ImClusterSpec) => resolveEnvironment(buildGatewayEnvironment(spec))
const names = (spec: ImClusterSpec) => buildGatewayEnvironment(spec).map(({ name }) => name)

/** The spec with the field at a path such as `inbox.maxLength` set. */
function withField(path: string, value: unknown): ImClusterSpec {
  const spec = structuredClone(minimal) as unknown as Record<string, unknown>
  let parent = spec
  const keys = path.split('.')
  for (const key of keys.slice(0, -1)) parent = (parent[key] ??= {}) as Record<string, unknown>
  parent[keys.at(-1) ?? ''] = value
  return spec as unknown as ImClusterSpec
}

/** The numbers in the spec that are settings of the gateway: path, schema, variable. */
const numbers = [...walkFields(schema.properties?.['spec'] ?? {})].flatMap(([path, field]) => {
  if (field.type !== 'integer' || path.includes('[]')) return []
  const [before, after] = [environmentOf(minimal), environmentOf(withField(path, 1234))]
  const variable = Object.keys(after).find((name) => after[name] !== before[name])
  return variable === undefined ? [] : [{ path, field, variable }]
})

describe('the environment of a gateway', () => {
  it('can set every setting that the gateway has, but for those left to it, and no other', async () => {
    const settings = [...(await readGatewaySettings()).keys()]
    assert.ok(settings.length > 40)
    assert.deepEqual([...mappedSettings, ...settingsLeftToGateway].toSorted(), settings.toSorted())
  })

  it('is understood by the gateway as it was meant', async () => {
    const [least, full] = await parseGatewaySettings([minimal, buildTestCluster(fullSpec).spec].map(environmentOf))
    const common = { tcpPort: 9000, wsPort: 8080, adminPort: 9090 }
    const clientTypes = await readClientTypes()
    const type = (...types: string[]) => types.map((name) => clientTypes.indexOf(name))
    assert.partialDeepStrictEqual(least, {
      ...common,
      redisUrl: 'redis://redis:6379',
      keyPrefix: 'im:',
      natsServers: ['nats://nats:4222'],
      subjectPrefix: '',
      authMode: 'none',
      devicePolicy: { classes: [] },
      drainRate: 200,
      drainDeadlineMs: 30_000,
      drainJitterMs: 2_000,
      tlsCertFile: '',
    })
    assert.partialDeepStrictEqual(full, {
      ...common,
      keyPrefix: 'chat:',
      redisTimeoutMs: 2_000,
      natsServers: ['nats://a:4222', 'tls://b:4222'],
      subjectPrefix: 'chat.',
      tlsCertFile: '/etc/im-cluster/tls/tls.crt',
      tlsKeyFile: '/etc/im-cluster/tls/tls.key',
      authMode: 'secret',
      authIssuer: 'https://id.example',
      authAudience: 'im',
      authUserClaim: 'uid',
      authAppClaim: 'tenant',
      authApps: [1, 7],
      devicePolicy: {
        classes: [
          { name: 'phone', clientTypes: type('ios', 'android'), limit: 1 },
          { name: 'rest', clientTypes: type('api', 'web', 'windows', 'macos'), limit: 3 },
        ],
      },
      maxConnections: 5_000,
      heartbeatMs: 20_000,
      idleTimeoutMs: 50_000,
      inboxRetentionMs: 86_400_000,
      leaseMs: 9_000,
      logLevel: 'debug',
      drainRate: 50,
      drainDeadlineMs: 60_000,
      drainJitterMs: 0,
    })
  })

  it('has no number that the CRD accepts and the gateway does not', async () => {
    assert.ok(numbers.length > 20)
    const tries = numbers.flatMap(({ path, field, variable }) =>
      [field.minimum, field.maximum].map((value) => {
        assert.ok(value !== undefined, `${path} has no bounds`)
        // A rule of the CRD ties these two together.
        const partner = variable === 'IM_HEARTBEAT_MS' ? { IM_IDLE_TIMEOUT_MS: '7200000' } : { IM_HEARTBEAT_MS: '1000' }
        return { what: `${path}: ${value}`, env: { ...partner, ...environmentOf(withField(path, value)) } }
      }),
    )
    const results = await parseGatewaySettings(tries.map(({ env }) => env))
    const refused = tries.flatMap(({ what }, at) => (typeof results[at] === 'string' ? `${what}: ${results[at]}` : []))
    assert.deepEqual(refused, [])
  })

  it('leaves the gateway its own defaults, which are those that the CRD names', async () => {
    const defaults = await readGatewaySettings()
    for (const { path, field, variable } of numbers) {
      const named = /The gateway's default is (\d+)/.exec(field.description ?? '')?.[1] ?? String(field.default)
      const factor = variable.endsWith('_MS') ? 1000 : 1
      assert.equal(Number(named) * factor, Number(defaults.get(variable)), path)
      if (field.default === undefined) assert.ok(!names(minimal).includes(variable), `${variable} is set unasked`)
    }
  })

  it('compares with the default of the gateway in every rule that has to do without a value', async () => {
    const defaults = await readGatewaySettings()
    const rules = [...walkFields(schema)].flatMap(([path, field]) =>
      (field['x-kubernetes-validations'] ?? []).map(({ rule }) => ({ path: path.replace('spec.', ''), rule })),
    )
    const used = rules.flatMap(({ path, rule }) =>
      [...rule.matchAll(/self\.\?(\w+)\.orValue\((\d+)\)/g)].map(([, name, value]) => ({
        path: `${path}.${name}`,
        value,
      })),
    )
    assert.equal(used.length, 3)
    for (const { path, value } of used) {
      const variable = numbers.find((number) => number.path === path)?.variable ?? ''
      const unit = variable.endsWith('_MS') ? 1000 : 1
      assert.equal(Number(value) * unit, Number(defaults.get(variable)), path)
    }
  })

  it('takes addresses of IPv6', async () => {
    const redis = { url: 'redis-cluster://[fd00::1]:7000,[fd00::2]' }
    const nats = { servers: ['nats://[fd00::3]:4222', 'tls://[fd00::4]'] }
    const [read] = await parseGatewaySettings([environmentOf(buildTestCluster({ redis, nats }).spec)])
    assert.partialDeepStrictEqual(read, { redisUrl: redis.url, natsServers: nats.servers })
  })

  it('refers to Secrets and never holds what is in them', () => {
    const variables = buildGatewayEnvironment(buildTestCluster(fullSpec).spec)
    const secrets = variables.flatMap(({ name, value, valueFrom }) => {
      if (!/SECRET|PASSWORD|TOKEN|USER$|REDIS_URL/.test(name)) return []
      assert.equal(value, undefined, name)
      return [[name, valueFrom?.secretKeyRef]]
    })
    assert.deepEqual(Object.fromEntries(secrets), {
      IM_REDIS_URL: { name: 'redis', key: 'url' },
      IM_NATS_USER: { name: 'nats', key: 'user' },
      IM_NATS_PASSWORD: { name: 'nats', key: 'password' },
      IM_AUTH_SECRET: { name: 'auth', key: 'secret' },
    })
  })

  it('takes a NATS token instead of user and password', () => {
    const nats = { servers: ['nats://nats'], credentialsSecretRef: { name: 'nats', type: 'token' as const } }
    const variables = buildGatewayEnvironment(buildTestCluster({ nats }).spec)
    assert.deepEqual(
      variables.filter(({ name }) => /^IM_NATS_[UPT]/.test(name)),
      [{ name: 'IM_NATS_TOKEN', valueFrom: { secretKeyRef: { name: 'nats', key: 'token' } } }],
    )
  })

  it('says who the pod is by the downward API', () => {
    const fields = buildGatewayEnvironment(minimal).flatMap(({ name, valueFrom }) =>
      valueFrom?.fieldRef ? [[name, valueFrom.fieldRef.fieldPath]] : [],
    )
    assert.deepEqual(Object.fromEntries(fields), {
      IM_BROKER_ID: 'metadata.name',
      IM_BROKER_HOST: 'status.podIP',
      IM_POD_UID: 'metadata.uid',
    })
  })
})
