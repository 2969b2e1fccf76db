import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createAuthority } from '../test/kit/certificate.ts'
import { TestCluster, type ImClusterObject } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { system } from '../test/kit/kubernetes/operator.ts'

/** No part of it may be in a status, an Event or a log. */
const PASSWORD = 'hunter2hunter2'
/** A gateway that does not find Redis or NATS gives up after a minute, and is started again. */
const HEALED_MS = 150_000
const TOLD_MS = 60_000

/** A mistake in an ImCluster or around it, in a cluster of its own. */
interface Mistake {
  readonly what: string
  readonly spec: object
  /** What it needs, before the ImCluster. */
  readonly around?: readonly object[]
  readonly reason: string
  /** What is wrong, and what to do. */
  readonly says: RegExp
  readonly correction: { readonly spec: object } | { readonly apply: object } | { readonly delete: string }
}

const secret = (name: string, stringData: object, type = 'Opaque') => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  type,
  stringData,
})
const urlSecretRef = (name: string) => ({ redis: { urlSecretRef: { name, key: 'url' } } })
const { cert, key } = createAuthority().issue('im')

const nobodysService = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'nobody' },
  spec: { selector: { app: 'nobody' }, ports: [{ port: 6379 }] },
}
/** Among those that Kubernetes itself takes last. */
const TAKEN_PORT = 30_085
const foreignService = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'service-taken' },
  spec: { type: 'NodePort', selector: { app: 'of-somebody-else' }, ports: [{ port: 80, nodePort: TAKEN_PORT }] },
}
const foreignStatefulSet = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'set-taken' },
  spec: {
    replicas: 0,
    serviceName: 'none',
    selector: { matchLabels: { app: 'of-somebody-else' } },
    template: {
      metadata: { labels: { app: 'of-somebody-else' } },
      spec: { containers: [{ name: 'none', image: 'none' }] },
    },
  },
}

/** By name of the ImCluster. */
const mistakes: Readonly<Record<string, Mistake>> = {
  'redis-secret': {
    what: 'a Secret of Redis that is not there',
    spec: urlSecretRef('redis-secret'),
    reason: 'SecretMissing',
    says: /Secret redis-secret is not there; create it, .* under url/,
    correction: { apply: secret('redis-secret', { url: 'redis://redis:6379' }) },
  },
  'redis-key': {
    what: 'a Secret of Redis without the key',
    spec: urlSecretRef('redis-key'),
    around: [secret('redis-key', { uri: 'redis://redis:6379' })],
    reason: 'SecretInvalid',
    says: /Secret redis-key has no key url; add it/,
    correction: { apply: secret('redis-key', { url: 'redis://redis:6379' }) },
  },
  'redis-url': {
    what: 'a URL of Redis that cannot be read',
    spec: urlSecretRef('redis-url'),
    around: [secret('redis-url', { url: `redis:/im:${PASSWORD}@redis:6379` })],
    reason: 'RedisUrlInvalid',
    says: /must be redis:\/\/.*; correct url in the Secret redis-url/,
    correction: { apply: secret('redis-url', { url: 'redis://redis:6379' }) },
  },
  'redis-host': {
    what: 'a host of Redis that is not known',
    spec: { redis: { url: 'redis://no-such-redis:6379' } },
    reason: 'RedisUnavailable',
    says: /ENOTFOUND no-such-redis.*; check spec\.redis\.url, and whether Redis runs/,
    correction: { spec: {} },
  },
  'redis-down': {
    what: 'a Redis that does not run',
    spec: { redis: { url: 'redis://nobody:6379' } },
    around: [nobodysService],
    reason: 'RedisUnavailable',
    says: /ECONNREFUSED.*; check spec\.redis\.url, and whether Redis runs/,
    correction: { spec: {} },
  },
  'redis-port': {
    what: 'a port on which something else than Redis answers',
    spec: { redis: { url: 'redis://nats:4222' } },
    reason: 'RedisUnavailable',
    says: /what answers is no Redis; check spec\.redis\.url/,
    correction: { spec: {} },
  },
  'redis-password': {
    what: 'a wrong password of Redis',
    spec: urlSecretRef('redis-password'),
    around: [secret('redis-password', { url: `redis://im:not-${PASSWORD}@redis:6379` })],
    reason: 'RedisUnavailable',
    says: /WRONGPASS.*; check url in the Secret redis-password/,
    correction: { apply: secret('redis-password', { url: `redis://im:${PASSWORD}@redis:6379` }) },
  },
  'nats-host': {
    what: 'a host of NATS that is not known',
    spec: { nats: { servers: ['nats://no-such-nats:4222'] } },
    reason: 'NatsUnavailable',
    says: /no-such-nats.*ENOTFOUND.*; check spec\.nats\.servers, and whether NATS runs/,
    correction: { spec: {} },
  },
  'nats-secret': {
    what: 'a Secret of NATS that is not there',
    spec: { nats: { servers: ['nats://nats:4222'], credentialsSecretRef: { name: 'nats-secret' } } },
    reason: 'ConfigError',
    says: /secret "nats-secret" not found; create what is missing/,
    correction: { apply: secret('nats-secret', { user: 'im', password: PASSWORD }) },
  },
  'auth-secret': {
    what: 'a Secret of the key of tokens that is not there',
    spec: { auth: { mode: 'secret', secretRef: { name: 'auth-secret', key: 'secret' } } },
    reason: 'ConfigError',
    says: /secret "auth-secret" not found; create what is missing/,
    correction: { apply: secret('auth-secret', { secret: `the key of tokens: ${PASSWORD} ${PASSWORD}` }) },
  },
  'auth-key': {
    what: 'a key of tokens that is too short',
    spec: { auth: { mode: 'secret', secretRef: { name: 'auth-key', key: 'secret' } } },
    around: [secret('auth-key', { secret: PASSWORD })],
    reason: 'CrashLoop',
    says: /IM_AUTH_SECRET/,
    correction: { apply: secret('auth-key', { secret: `the key of tokens: ${PASSWORD} ${PASSWORD}` }) },
  },
  'tls-secret': {
    what: 'a Secret of a certificate that is not there',
    spec: { listeners: { tls: { secretName: 'tls-secret' } } },
    reason: 'ConfigError',
    says: /Secret tls-secret is not there.*; create it, of type kubernetes.io\/tls/,
    correction: { apply: secret('tls-secret', { 'tls.crt': cert, 'tls.key': key }, 'kubernetes.io/tls') },
  },
  'service-taken': {
    what: 'a Service of that name that belongs to somebody else',
    spec: {},
    around: [foreignService],
    reason: 'NameConflict',
    says: /Service service-taken .* belongs to somebody else; delete it, or give the ImCluster another name/,
    correction: { delete: 'service/service-taken' },
  },
  'set-taken': {
    what: 'a StatefulSet of that name that belongs to somebody else',
    spec: {},
    around: [foreignStatefulSet],
    reason: 'NameConflict',
    says: /StatefulSet set-taken .* belongs to somebody else; delete it, or give the ImCluster another name/,
    correction: { delete: 'statefulset/set-taken' },
  },
  'port-taken': {
    what: 'a node port that another Service has',
    spec: { service: { type: 'NodePort', nodePorts: { tcp: TAKEN_PORT } } },
    reason: 'ApplyFailed',
    says: new RegExp(`Service port-taken is refused: .*${TAKEN_PORT}.* already allocated`),
    correction: { spec: { service: { type: 'NodePort' } } },
  },
}

describe('mistakes, each told by a condition and healed by its correction alone', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.redis('ACL', 'SETUSER', 'im', 'on', `>${PASSWORD}`, '~*', '&*', '+@all')
    const all = Object.entries(mistakes)
    await apply(all.flatMap(([, { around = [] }]) => around))
    await apply(all.map(([name, { spec }]) => build(name, spec)))
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  for (const [name, { what, reason, says }] of Object.entries(mistakes)) {
    test(`${what}: ${reason}`, async (t) => {
      const message = await waitFor(`${reason} of ${name}`, TOLD_MS, async () => {
        const { Degraded } = await readConditions(name)
        assert.equal(Degraded?.reason, reason, String(Degraded?.message))
        assert.match(Degraded.message, says)
        return Degraded.message
      })
      t.diagnostic(message)
      // Who looks only at Ready finds it, too.
      const { Ready } = await readConditions(name)
      if (Ready?.status === 'False') assert.ok(Ready.message.endsWith(message), Ready.message)
    })
  }

  test('no password is in a status, an Event or a log', async () => {
    const objects = ['get', 'imclusters,events,pods,statefulsets', '-o', 'yaml']
    const gateways = ['logs', '--selector', 'app.kubernetes.io/name=im-gateway', '--tail=-1', '--ignore-errors']
    const operator = ['logs', 'deployment/im-cluster-operator', '--all-pods']
    for (const [kubectl, args] of [
      [cluster.kubectl, objects],
      [cluster.kubectl, gateways],
      [system, operator],
    ] as const) {
      const text = await kubectl.run(args)
      assert.ok(text.length > 0, args.join(' '))
      assert.ok(!text.includes(PASSWORD), args.join(' '))
    }
  })

  describe('corrected', () => {
    before(async () => {
      for (const [name, { correction }] of Object.entries(mistakes)) {
        if ('spec' in correction) await apply([build(name, correction.spec)])
        else if ('apply' in correction) await apply([correction.apply])
        else await cluster.kubectl.run(['delete', correction.delete])
      }
    })
    for (const [name, { what }] of Object.entries(mistakes)) {
      test(`${what}: ready by itself`, async () => {
        await waitFor(`${name} to be ready`, HEALED_MS, async () => {
          const { Ready, Degraded, Progressing } = await readConditions(name)
          const verdict = [Ready, Degraded, Progressing].map((condition) => condition?.status).join(' ')
          if (verdict !== 'True False False') throw new Error(`${Ready?.message}; ${Degraded?.message}`)
          return true
        })
      })
    }
  })

  /** Clusters of one gateway each, apart from each other on one Redis and NATS. */
  function build(name: string, spec: { redis?: object; nats?: object }): object {
    const { redis = { url: 'redis://redis:6379' }, nats = { servers: ['nats://nats:4222'] }, ...rest } = spec
    const prefixes = { redis: { ...redis, keyPrefix: `${name}:` }, nats: { ...nats, subjectPrefix: `${name}.` } }
    return cluster.build({ replicas: 1, ...rest, ...prefixes }, name)
  }

  async function apply(items: readonly object[]): Promise<void> {
    await cluster.kubectl.apply({ apiVersion: 'v1', kind: 'List', items })
  }

  async function readConditions(name: string) {
    const found = await cluster.kubectl.get<ImClusterObject & KubeObject>('imcluster', name)
    const current = found?.status?.conditions.filter(
      ({ observedGeneration }) => observedGeneration === found.metadata.generation,
    )
    return Object.fromEntries(current?.map((condition) => [condition.type, condition]) ?? [])
  }
})
