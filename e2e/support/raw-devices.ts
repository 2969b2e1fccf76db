import { connectTcp, type RawClient } from '../../test/kit/raw-client.ts'
import type { TestCluster } from '../../test/kit/kubernetes/im-cluster.ts'
import { urls } from '../../test/kit/kubernetes/traffic.ts'

const MAX_DEVICES = 100

/**
 * Devices that log in once and do not come back when their connection ends: their sessions stay with the gateway that they
 * are at, whatever becomes of it.
 */
export class RawDevices implements AsyncDisposable {
  readonly #cluster: TestCluster
  readonly #clients: RawClient[] = []

  constructor(cluster: TestCluster) {
    this.#cluster = cluster
  }

  /** Logs in one after another, until each of the brokers has so many. */
  async spreadOver(brokerIds: readonly string[], each = 3): Promise<void> {
    for (let at = 0; at < MAX_DEVICES; at += 1) {
      const client = await connectTcp(urls.tcp)
      this.#clients.push(client)
      await client.login({ token: await this.#cluster.token(`device-${at}`), imei: 'raw' })
      if (at < each * brokerIds.length - 1) continue
      const sessions = await Promise.all(brokerIds.map((brokerId) => this.#cluster.sessionsOf(brokerId)))
      if (sessions.every(({ length }) => length >= each)) return
    }
    throw new Error(`${MAX_DEVICES} devices are not spread over ${brokerIds.join(', ')}`)
  }

  /** Hangs up all, which leaves their sessions as offline. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await Promise.all(this.#clients.splice(0).map(({ ended }) => ended))
  }
}
