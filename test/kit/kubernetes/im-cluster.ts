import { randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import { Kubectl, waitFor, type KubeObject, type PodObject } from './kubernetes.ts'

/** What the e2e run prepared: see e2e/run.ts. */
export const gatewayImage = process.env['E2E_IMAGE'] ?? 'im-cluster:e2e'
/** The same under another tag. */
export const nextImage = `${gatewayImage}-next`
const SECRET = 'only for the end-to-end tests of im-cluster'

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
  readonly observedGeneration: number
}

export interface Cleanup {
  readonly brokerId: string
  readonly podUid: string
  readonly bootId: string
  readonly proof: { readonly pod: string; readonly lease: string }
  readonly sessionsRemoved: number
  readonly orphansLeft: number
  readonly clientsCutOff?: number
}

export interface ImClusterObject extends KubeObject {
  readonly spec: { readonly replicas: number }
  readonly status?: {
    readonly observedGeneration: number
    readonly conditions: readonly Condition[]
    readonly replicas: number
    readonly readyReplicas: number
    readonly updatedReplicas: number
    readonly connections: number
    readonly brokers: readonly { readonly brokerId: string; readonly podUid: string; readonly state: string }[]
    readonly cleanups: readonly Cleanup[]
  }
}

/** A namespace of its own with Redis, NATS and one ImCluster. Disposing of it deletes all. */
export class TestCluster implements AsyncDisposable {
  readonly kubectl: Kubectl
  readonly name: string

  protected constructor(kubectl: Kubectl, name: string) {
    this.kubectl = kubectl
    this.name = name
  }

  /** Creates the namespace, Redis, NATS and Secret; `apply` makes the ImCluster. */
  static async prepare(name = 'im', namespace?: string): Promise<TestCluster> {
    const kubectl = await createNamespace(namespace)
    const cluster = new TestCluster(kubectl, name)
    await kubectl.apply({ apiVersion: 'v1', kind: 'List', items: buildServers() })
    await Promise.all(
      ['redis', 'nats'].map((server) =>
        kubectl.run(['rollout', 'status', `deployment/${server}`, '--timeout=120s'], { timeoutMs: 130_000 }),
      ),
    )
    return cluster
  }

  /** Another ImCluster on the same servers, in the same namespace; not to be disposed of. */
  withName(name: string): TestCluster {
    return new TestCluster(this.kubectl, name)
  }

  /** Creates or changes the ImCluster. */
  async apply(spec: object = {}): Promise<void> {
    await this.kubectl.apply(this.build(spec))
  }

  /** An ImCluster, of this name or another, on this namespace's servers. */
  build(spec: object = {}, name = this.name): object {
    return {
      apiVersion: 'imcluster.io/v1alpha1',
      kind: 'ImCluster',
      metadata: { name, namespace: this.kubectl.namespace },
      spec: {
        image: gatewayImage,
        replicas: 2,
        redis: { url: 'redis://redis:6379' },
        nats: { servers: ['nats://nats:4222'] },
        auth: { mode: 'secret', secretRef: { name: 'auth', key: 'secret' } },
        drain: { rate: 200, deadlineSeconds: 20, jitterSeconds: 1 },
        ...spec,
      },
    }
  }

  async read(): Promise<ImClusterObject> {
    const found = await this.kubectl.get<ImClusterObject>('imcluster', this.name)
    if (found === undefined) throw new Error(`there is no ImCluster ${this.name}`)
    return found
  }

  /** Waits until a condition of the current generation has a status, and a reason if one is named. */
  waitForCondition(type: string, status: string, timeoutMs: number, reason?: string): Promise<ImClusterObject> {
    return waitFor(`${type}=${status} ${reason ?? ''} of ${this.name}`, timeoutMs, async () => {
      const cluster = await this.read()
      const condition = cluster.status?.conditions.find((candidate) => candidate.type === type)
      const current = condition?.observedGeneration === cluster.metadata.generation
      const fits = condition?.status === status && (reason === undefined || condition.reason === reason)
      return current && fits ? cluster : undefined
    })
  }

  /** Waits until all is as the spec says: so many gateways are ready, and nothing is under way. */
  async waitUntilSettled(replicas: number, timeoutMs = 120_000): Promise<ImClusterObject> {
    return waitFor(`${this.name} settled with ${replicas} gateways`, timeoutMs, async () => {
      const cluster = await this.waitForCondition('Progressing', 'False', timeoutMs)
      const { status } = cluster
      const pods = await this.pods()
      return status?.readyReplicas === replicas && pods.length === replicas ? cluster : undefined
    })
  }

  pods(): Promise<PodObject[]> {
    return this.kubectl.list<PodObject>(
      'pods',
      `app.kubernetes.io/instance=${this.name},app.kubernetes.io/name=im-gateway`,
    )
  }

  /** A token for a user, valid for an hour. */
  token(userId: string): Promise<string> {
    return signToken(userId, SECRET)
  }

  redis(...command: readonly string[]): Promise<string> {
    return this.kubectl.run(['exec', 'deployment/redis', '--', 'redis-cli', '--raw', ...command])
  }

  /** Every stored session that names a broker, as `<key> <field>`. */
  async sessionsOf(brokerId: string): Promise<string[]> {
    return (await this.#storedSessions(brokerId)).map(({ place }) => place).toSorted()
  }

  /** The incarnations that the stored sessions of a broker name. */
  async incarnationsOf(brokerId: string): Promise<string[]> {
    return [...new Set((await this.#storedSessions(brokerId)).map(({ incarnation }) => incarnation))]
  }

  async #storedSessions(brokerId: string): Promise<{ place: string; incarnation: string }[]> {
    const script = `local found = {}
      for _, key in ipairs(redis.call('KEYS', 'im:{*}:sessions')) do
        local flat = redis.call('HGETALL', key)
        for i = 1, #flat, 2 do
          local session = cjson.decode(flat[i + 1])
          if session.brokerId == ARGV[1] then
            found[#found + 1] = cjson.encode({ place = key .. ' ' .. flat[i], incarnation = session.incarnation })
          end
        end
      end
      return found`
    const lines = (await this.redis('EVAL', script, '0', brokerId)).split('\n').filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as { place: string; incarnation: string })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kubectl.run(['delete', 'imclusters', '--all', '--timeout=120s'], { timeoutMs: 130_000 })
    await this.kubectl.run(['delete', 'namespace', this.kubectl.namespace, '--wait=false'])
  }
}

/** Creates a namespace that takes only pods of the Pod Security level `restricted`. */
export async function createNamespace(name = `e2e-${randomBytes(3).toString('hex')}`): Promise<Kubectl> {
  const kubectl = new Kubectl(name)
  const labels = { 'im-cluster-e2e': 'true', 'pod-security.kubernetes.io/enforce': 'restricted' }
  await kubectl.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: kubectl.namespace, labels } })
  return kubectl
}

/** A token for a user, valid for an hour. */
export function signToken(userId: string, secret: string): Promise<string> {
  return new SignJWT({ app: 1 })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(userId)
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret))
}

/** What `restricted` asks of a container. */
export const securityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  runAsUser: 1000,
  seccompProfile: { type: 'RuntimeDefault' },
}

/** A NATS that has the file nats.conf of a ConfigMap. */
export function buildNats(name: string, configMap: string): object[] {
  return buildServer(name, NATS_IMAGE, 4222, ['--config', '/config/nats.conf'], NATS_PROBE, configMap)
}

const NATS_IMAGE = 'nats:2.15.2'
const NATS_PROBE = { tcpSocket: { port: 4222 } }

function buildServer(
  name: string,
  image: string,
  port: number,
  args: readonly string[],
  probe: object,
  configMap?: string,
): object[] {
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: {
        replicas: 1,
        strategy: { type: 'Recreate' },
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: {
            terminationGracePeriodSeconds: 1,
            // Not on the nodes that tests stop.
            nodeSelector: { 'node-role.kubernetes.io/control-plane': '' },
            tolerations: [{ operator: 'Exists' }],
            containers: [
              {
                name,
                image,
                args,
                imagePullPolicy: 'IfNotPresent',
                ports: [{ containerPort: port }],
                readinessProbe: { ...probe, periodSeconds: 1, timeoutSeconds: 5 },
                securityContext,
                volumeMounts: [
                  { name: 'data', mountPath: '/data' },
                  ...(configMap === undefined ? [] : [{ name: 'config', mountPath: '/config' }]),
                ],
              },
            ],
            volumes: [
              { name: 'data', emptyDir: {} },
              ...(configMap === undefined ? [] : [{ name: 'config', configMap: { name: configMap } }]),
            ],
          },
        },
      },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app: name }, ports: [{ port }] } },
  ]
}

function buildServers(): object[] {
  const redisArgs = [
    'redis-server',
    '--bind',
    '0.0.0.0',
    '--protected-mode',
    'no',
    '--dir',
    '/data',
    '--appendonly',
    'yes',
  ]
  return [
    ...buildServer('redis', 'redis:7.0.15-bookworm', 6379, redisArgs, { exec: { command: ['redis-cli', 'ping'] } }),
    ...buildServer('nats', NATS_IMAGE, 4222, ['--addr', '0.0.0.0'], NATS_PROBE),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'auth' }, stringData: { secret: SECRET } },
  ]
}
