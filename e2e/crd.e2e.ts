// What the API server makes of crds/imcluster.yaml, without an operator.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { suspendOperator } from '../test/kit/kubernetes/operator.ts'

const DEADLINE_MS = 60_000
const root = fileURLToPath(new URL('..', import.meta.url))
const namespace = `crd-${randomUUID().slice(0, 8)}`

interface Outcome {
  readonly ok: boolean
  readonly stdout: string
  readonly stderr: string
}

/** Runs kubectl in the test's namespace. */
async function kubectl(args: readonly string[], input: unknown = ''): Promise<Outcome> {
  const child = spawn('kubectl', ['--namespace', namespace, ...args], { cwd: root, timeout: DEADLINE_MS })
  const ended = new Promise<boolean>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code === 0))
  })
  child.stdin.end(typeof input === 'string' ? input : JSON.stringify(input))
  const [ok, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  return { ok, stdout, stderr }
}

async function succeed(args: readonly string[], input?: unknown): Promise<string> {
  const { ok, stdout, stderr } = await kubectl(args, input)
  assert.ok(ok, `kubectl ${args.join(' ')}: ${stderr}`)
  return stdout
}

type Json = Readonly<Record<string, unknown>>

const minimal: Json = {
  image: 'im-cluster:test',
  redis: { url: 'redis://redis:6379' },
  nats: { servers: ['nats://nats:4222'] },
  auth: { mode: 'none' },
}

function imCluster(spec: Json, name = 'im'): Json {
  return { apiVersion: 'imcluster.io/v1alpha1', kind: 'ImCluster', metadata: { name }, spec: { ...minimal, ...spec } }
}

const validate = (object: Json) => kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], object)

const nats = (more: Json) => ({ nats: { servers: ['nats://nats'], ...more } })
const classes = (...list: readonly Json[]) => ({ devicePolicy: { classes: list } })
const phone = { name: 'phone', clientTypes: ['ios', 'android'], limit: 1 }

const valid: Readonly<Record<string, Json>> = {
  'the least': {},
  'no gateway': { replicas: 0 },
  'Redis with TLS and a database': { redis: { url: 'rediss://redis.example:6380/2' } },
  'Redis Cluster': { redis: { url: 'redis-cluster://a:6379,b:6379,[fd00::1]:6379' } },
  'Redis with sentinels': { redis: { url: 'redis-sentinel://a,b:26380/main' } },
  'Redis by a Secret': { redis: { urlSecretRef: { name: 'redis', key: 'url' } } },
  'prefixes of its own': { redis: { url: 'redis://r', keyPrefix: 'a:' }, ...nats({ subjectPrefix: 'a.b-c.' }) },
  'NATS by name alone': { nats: { servers: ['nats', 'nats:4222', 'tls://b:4222'] } },
  'NATS by address': { nats: { servers: ['10.0.0.1', '[fd00::1]:4222', 'tls://[::ffff:10.0.0.1]'] } },
  'a Service of one family': { service: { ipFamilyPolicy: 'SingleStack' } },
  'NATS with credentials': nats({ credentialsSecretRef: { name: 'nats', type: 'token' } }),
  'a secret': { auth: { secretRef: { name: 'auth', key: 'secret' }, apps: [0, 4_294_967_295] } },
  'a key set': { auth: { mode: 'jwks', jwksUrl: 'https://id.example/keys?v=1', issuer: 'me' } },
  'one listener': { listeners: { tcp: { enabled: false } } },
  'the same port when one listener is off': {
    listeners: { tcp: { enabled: false, port: 80 }, websocket: { port: 80 } },
  },
  'a grace period that suffices': { drain: { deadlineSeconds: 50 }, terminationGracePeriodSeconds: 60 },
  'a long heartbeat': { connections: { heartbeatSeconds: 90, idleTimeoutSeconds: 200 } },
  'a preset policy': { devicePolicy: { preset: 'triple' } },
  'a policy of classes': classes(phone, { name: 'rest', clientTypes: ['web', 'windows'], limit: 64 }),
  'a budget in percent': { podDisruptionBudget: { maxUnavailable: '100%' } },
  'node ports': { service: { type: 'NodePort', nodePorts: { tcp: 30_001 }, externalTrafficPolicy: 'Local' } },
  'a load balancer': {
    service: { type: 'LoadBalancer', loadBalancerClass: 'example.com/lb', annotations: { a: 'b' } },
  },
  'the rest of a pod': {
    resources: { requests: { cpu: 1, memory: '1.5Gi' }, limits: { memory: '1e9' } },
    podTemplate: {
      metadata: { labels: { team: 'chat' }, annotations: { a: 'b' } },
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ operator: 'Exists' }],
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'zone',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { a: 'b' } },
        },
      ],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }],
          },
        },
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 1, podAffinityTerm: { topologyKey: 'zone', labelSelector: { matchLabels: { a: 'b' } } } },
          ],
        },
      },
      securityContext: { runAsUser: 1000 },
    },
  },
}

/** Specs that are refused, with what the message must say. */
const invalid: readonly (readonly [what: string, spec: Json, message: RegExp])[] = [
  ['no image', { image: '' }, /spec\.image/],
  ['too many gateways', { replicas: 1001 }, /spec\.replicas: .*less than or equal to 1000/],
  ['a field that there is not', { replica: 3 }, /unknown field "spec\.replica"/],
  [
    'no listener',
    { listeners: { tcp: { enabled: false }, websocket: { enabled: false } } },
    /enable listeners\.tcp or/,
  ],
  ['one port for both', { listeners: { tcp: { port: 8080 } } }, /listeners\.tcp\.port and .* must be different/],
  [
    'one node port for both',
    { service: { type: 'NodePort', nodePorts: { tcp: 1, websocket: 1 } } },
    /must be different/,
  ],
  ['node ports of a ClusterIP', { service: { nodePorts: { tcp: 30_001 } } }, /need service\.type NodePort or LoadBal/],
  ['a traffic policy of a ClusterIP', { service: { externalTrafficPolicy: 'Local' } }, /need service\.type NodePort/],
  ['a class of no load balancer', { service: { loadBalancerClass: 'a' } }, /needs service\.type LoadBalancer/],
  ['no Redis', { redis: {} }, /set exactly one of redis\.url and redis\.urlSecretRef/],
  [
    'two Redis',
    { redis: { url: 'redis://r', urlSecretRef: { name: 'a', key: 'b' } } },
    /set exactly one of redis\.url/,
  ],
  ['an unknown scheme', { redis: { url: 'http://redis' } }, /must be redis:\/\/host:port, redis-cluster:/],
  ['a password in the spec', { redis: { url: 'redis://u:p@redis' } }, /put it into a Secret .* redis\.urlSecretRef/],
  ['a brace in the key prefix', { redis: { url: 'redis://r', keyPrefix: 'a{b}' } }, /spec\.redis\.keyPrefix/],
  ['no NATS', { nats: { servers: [] } }, /spec\.nats\.servers/],
  ['a wrong NATS server', { nats: { servers: ['http://nats'] } }, /must be nats:\/\/host:port or tls:/],
  ['an IPv6 address of NATS without brackets', { nats: { servers: ['nats://::1:4222'] } }, /IPv6 .* in brackets/],
  ['an unknown family policy', { service: { ipFamilyPolicy: 'Dual' } }, /service\.ipFamilyPolicy/],
  ['a NATS password in the spec', { nats: { servers: ['nats://u:p@n'] } }, /nats\.credentialsSecretRef/],
  ['a subject prefix without its dot', nats({ subjectPrefix: 'a' }), /must be empty or end in a dot/],
  ['a wildcard in the subject prefix', nats({ subjectPrefix: '*.' }), /must be empty or end in a dot/],
  ['no secret', { auth: {} }, /auth\.mode secret needs auth\.secretRef/],
  ['no key set', { auth: { mode: 'jwks' } }, /auth\.mode jwks needs auth\.jwksUrl/],
  [
    'a key set that is not used',
    { auth: { mode: 'none', jwksUrl: 'https://a' } },
    /auth\.jwksUrl is for auth\.mode jwks/,
  ],
  [
    'a secret not used',
    { auth: { mode: 'none', secretRef: { name: 'a', key: 'b' } } },
    /auth\.secretRef is for auth\.mode/,
  ],
  ['a key set that is no URL', { auth: { mode: 'jwks', jwksUrl: 'keys' } }, /must be a URL that begins with https/],
  ['an unknown mode', { auth: { mode: 'ldap' } }, /supported values: "secret", "jwks", "none"/],
  ['an appId beyond u32', { auth: { mode: 'none', apps: [4_294_967_296] } }, /spec\.auth\.apps\[0\]/],
  ['a preset and classes', { devicePolicy: { preset: 'dual', classes: [phone] } }, /set exactly one of devicePolicy/],
  ['no policy', { devicePolicy: {} }, /set exactly one of devicePolicy/],
  ['a type in two classes', classes(phone, { ...phone, name: 'b' }), /a client type may be in one class only/],
  ['an unknown client type', classes({ ...phone, clientTypes: ['tv'] }), /Unsupported value: "tv"/],
  ['a short grace', { terminationGracePeriodSeconds: 39 }, /must be at least drain\.deadlineSeconds \+ 10/],
  [
    'a heartbeat beyond the default idle time',
    { connections: { heartbeatSeconds: 60 } },
    /must be less than idleTimeout/,
  ],
  [
    'a memory budget too small for its frames',
    { connections: { memoryBudgetBytes: 4_194_304, maxFrameBytes: 524_288 } },
    /must be at least 32 times maxFrameBytes/,
  ],
  [
    'an idle time below the default heartbeat',
    { connections: { idleTimeoutSeconds: 25 } },
    /must be less than idleTim/,
  ],
  ['a budget of none', { podDisruptionBudget: { maxUnavailable: 0 } }, /must be at least 1, or 1% to 100%/],
  ['a budget of 0%', { podDisruptionBudget: { maxUnavailable: '0%' } }, /must be at least 1, or 1% to 100%/],
  ['a label of the operator', podLabel('app.kubernetes.io/name'), /are the operator's; remove them/],
  ['a root user', { podTemplate: { securityContext: { runAsUser: 0 } } }, /greater than or equal to 1/],
  ['a wrong quantity', { resources: { requests: { cpu: 'much' } } }, /spec\.resources\.requests\.cpu/],
]

function podLabel(key: string): Json {
  return { podTemplate: { metadata: { labels: { [key]: 'x' } } } }
}

/** Changes of `valid['prefixes of its own']` and of a load balancer that are refused. */
const refusedChanges: readonly (readonly [what: string, patch: Json, message: RegExp])[] = [
  ['the key prefix', { redis: { keyPrefix: 'other:' } }, /redis\.keyPrefix cannot change/],
  ['the key prefix to the default', { redis: { keyPrefix: null } }, /redis\.keyPrefix cannot change/],
  ['the subject prefix', { nats: { subjectPrefix: 'other.' } }, /nats\.subjectPrefix cannot change/],
  ['the load balancer class', { service: { loadBalancerClass: 'example.com/b' } }, /loadBalancerClass cannot change/],
  ['the load balancer class to none', { service: { loadBalancerClass: null } }, /loadBalancerClass cannot change/],
]

const allowedChanges: Readonly<Record<string, Json>> = {
  'the Redis URL': { redis: { url: null, urlSecretRef: { name: 'redis', key: 'url' } } },
  'NATS servers': { nats: { servers: ['nats://other'] } },
  'the Service away from a load balancer': { service: { type: 'ClusterIP', loadBalancerClass: null } },
}

const patchArgs = (patch: Json) => ['patch', 'imc', 'im', '--type=merge', '-p', JSON.stringify(patch)]

let suspended: AsyncDisposable
before(async () => {
  suspended = await suspendOperator()
  await succeed(['apply', '--server-side', '--force-conflicts', '-f', 'crds/imcluster.yaml'])
  await succeed(['wait', '--for=condition=Established', '--timeout=30s', 'crd/imclusters.imcluster.io'])
  await succeed(['create', 'namespace', namespace])
  await succeed(['create', '-f', '-'], imCluster({ ...valid['prefixes of its own'], ...valid['a load balancer'] }))
})

after(async () => {
  await kubectl(['delete', 'imc', '--all', '--wait=false'])
  await suspended[Symbol.asyncDispose]()
  await kubectl(['delete', 'namespace', namespace, '--wait=false'])
})

describe('an ImCluster is accepted with', () => {
  for (const [what, spec] of Object.entries(valid)) {
    it(what, async () => {
      const { ok, stderr } = await validate(imCluster(spec, 'new'))
      assert.ok(ok, stderr)
    })
  }
})

describe('an ImCluster is refused, saying what to do, with', () => {
  for (const [what, spec, message] of invalid) {
    it(what, async () => {
      const { ok, stderr } = await validate(imCluster(spec, 'new'))
      assert.ok(!ok, 'it was accepted')
      assert.match(stderr, message)
    })
  }

  for (const [name, message] of [
    ['a'.repeat(53), /metadata\.name must have at most 52/],
    ['1a', /metadata\.name must have .* begin with a letter/],
    ['a.b', /metadata\.name must have/],
    ['a-headless', /must not end in '-headless'/],
  ] as const) {
    it(`the name ${name}`, async () => {
      const { ok, stderr } = await validate(imCluster({}, name))
      assert.ok(!ok, 'it was accepted')
      assert.match(stderr, message)
    })
  }
})

describe('a change', () => {
  for (const [what, spec, message] of refusedChanges) {
    it(`of ${what} is refused`, async () => {
      const { ok, stderr } = await kubectl([...patchArgs({ spec }), '--dry-run=server'])
      assert.ok(!ok, 'it was accepted')
      assert.match(stderr, message)
    })
  }
  for (const [what, spec] of Object.entries(allowedChanges)) {
    it(`of ${what} is accepted`, async () => {
      await succeed([...patchArgs({ spec }), '--dry-run=server'])
    })
  }
})

describe('an ImCluster', () => {
  it('can be scaled by kubectl scale, and says its selector to an autoscaler', async () => {
    await succeed(['scale', 'imc', 'im', '--replicas=5'])
    const status = { replicas: 4, selector: 'app.kubernetes.io/instance=im' }
    await succeed([...patchArgs({ status }), '--subresource=status'])
    const scale = await succeed(['get', 'imc', 'im', '--subresource=scale', '-o', 'json'])
    const found = JSON.parse(scale) as { spec: unknown; status: unknown }
    assert.deepEqual(found.spec, { replicas: 5 })
    assert.deepEqual(found.status, status)
  })

  it('shows what a person wants to see', async () => {
    const condition = {
      type: 'Ready',
      status: 'False',
      reason: 'WaitingForRedis',
      message: 'Redis does not answer',
      lastTransitionTime: '2026-01-02T03:04:05Z',
    }
    const status = { readyReplicas: 3, connections: 1234, conditions: [condition] }
    await succeed([...patchArgs({ status }), '--subresource=status'])
    const [head, row] = (await succeed(['get', 'imc'])).split('\n')
    assert.match(head ?? '', /^NAME +REPLICAS +READY +CONNECTIONS +STATUS +AGE$/)
    assert.match(row ?? '', /^im +\d +3 +1234 +WaitingForRedis +\S+$/)
  })

  it('has a status that only the status subresource writes', async () => {
    await succeed(patchArgs({ status: { connections: 99 } }))
    const connections = await succeed(['get', 'imc', 'im', '-o', 'jsonpath={.status.connections}'])
    assert.notEqual(connections, '99')
  })

  it('is explained by kubectl', async () => {
    assert.match(await succeed(['explain', 'imc.spec.drain.deadlineSeconds']), /Connections left by then are closed/)
  })

  it('is accepted as docs/imcluster.md shows it', async () => {
    const page = readFileSync(new URL('../docs/imcluster.md', import.meta.url), 'utf8')
    const examples = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, example]) => example ?? '')
    assert.ok(examples.length > 1)
    for (const example of examples) {
      const { ok, stderr } = await kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], example)
      assert.ok(ok, `${stderr}\n${example}`)
    }
  })
})
