import { createNamespace, gatewayImage, signToken, TestCluster } from './im-cluster.ts'
import { helm, imageValues } from './helm.ts'
import { reachable } from './traffic.ts'

interface Release {
  readonly image?: string
  /** The folder with charts/, the repository's unless told otherwise. */
  readonly folder?: string
  readonly replicas?: number
}

/** A namespace of its own for the chart im-cluster with the Redis and NATS of a try-out. Disposing of it deletes all. */
export class TryoutCluster extends TestCluster {
  #secret: string | undefined

  static async create(name = 'im'): Promise<TryoutCluster> {
    return new TryoutCluster(await createNamespace(), name)
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

  override redis(...command: readonly string[]): Promise<string> {
    return this.kubectl.run(['exec', `deployment/${this.name}-redis`, '--', 'redis-cli', '--raw', ...command])
  }

  async #deploy(verb: string, { image = gatewayImage, folder = '.', replicas = 2 }: Release): Promise<string> {
    const spec = { replicas, ...reachable, drain: { rate: 200, deadlineSeconds: 20, jitterSeconds: 1 } }
    const args = [verb, this.name, `${folder}/charts/im-cluster`, '--namespace', this.kubectl.namespace]
    return helm(
      ...args,
      '--set',
      'tryout.enabled=true',
      ...imageValues(image),
      '--set-json',
      `spec=${JSON.stringify(spec)}`,
    )
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.uninstall()
    await super[Symbol.asyncDispose]()
  }
}
