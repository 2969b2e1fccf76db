import { helm, imageValues } from './helm.ts'
import { createNamespace, gatewayImage, signToken, TestCluster } from '../../test/kit/kubernetes/im-cluster.ts'
import type { Kubectl } from '../../test/kit/kubernetes/kubernetes.ts'
import { reachable } from '../../test/kit/kubernetes/traffic.ts'

interface Release {
  readonly image?: string
  /** The folder with charts/, the repository's unless told otherwise. */
  readonly folder?: string
  readonly replicas?: number
}

const drain = { rate: 200, deadlineSeconds: 20, jitterSeconds: 1 }
const servers = { redis: { url: 'redis://redis:6379' }, nats: { servers: ['nats://nats:4222'] } }

/** A namespace of its own for an ImCluster that the chart im-cluster makes. Disposing of it deletes all. */
export class ReleaseCluster extends TestCluster {
  readonly #tryout: boolean
  #secret: string | undefined

  private constructor(kubectl: Kubectl, name: string, tryout: boolean) {
    super(kubectl, name)
    this.#tryout = tryout
  }

  /** For a release that brings its Redis and NATS. */
  static async createTryout(): Promise<ReleaseCluster> {
    return new ReleaseCluster(await createNamespace(), 'im', true)
  }

  /** For a release on a Redis and a NATS that are there. */
  static async createOnServers(): Promise<ReleaseCluster> {
    const { kubectl, name } = await TestCluster.prepare()
    return new ReleaseCluster(kubectl, name, false)
  }

  /** `helm install`. It does not wait for the gateways. */
  install(release: Release = {}): Promise<string> {
    return this.#deploy('install', release)
  }

  /** `helm upgrade`, with nothing kept of the former values. */
  upgrade(release: Release = {}): Promise<string> {
    return this.#deploy('upgrade', release)
  }

  uninstall(): Promise<string> {
    return helm('uninstall', this.name, '--namespace', this.kubectl.namespace, '--ignore-not-found', '--wait')
  }

  /** A token for a user, by the key that the chart made up. */
  override async token(userId: string): Promise<string> {
    this.#secret ??= Buffer.from(
      await this.kubectl.run(['get', 'secret', `${this.name}-auth`, '-o', 'jsonpath={.data.secret}']),
      'base64',
    ).toString()
    return signToken(userId, this.#secret)
  }

  #deploy(verb: string, { image = gatewayImage, folder = '.', replicas = 2 }: Release): Promise<string> {
    const spec = { replicas, ...reachable, drain, ...(!this.#tryout && servers) }
    const place = [`${folder}/charts/im-cluster`, '--namespace', this.kubectl.namespace]
    const values = ['--set', `tryout.enabled=${this.#tryout}`, '--set-json', `spec=${JSON.stringify(spec)}`]
    return helm(verb, this.name, ...place, ...values, ...imageValues(image))
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.uninstall()
    await super[Symbol.asyncDispose]()
  }
}
