import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Client } from '../../../client/index.ts'
import type { TestCluster } from './im-cluster.ts'
import { waitFor } from './kubernetes.ts'

/** Node ports that the kind cluster maps to the host; see e2e/run.ts. One ImCluster at a time has them. */
export const nodePorts = { tcp: 30900, websocket: 30800 } as const

/** The part of a spec that makes a cluster reachable from the tests. */
export const reachable = { service: { type: 'NodePort', nodePorts } } as const

/** Where clients on this machine reach the node ports. */
export const urls = {
  tcp: process.env['E2E_TCP_URL'] ?? `tcp://127.0.0.1:${nodePorts.tcp}`,
  websocket: process.env['E2E_WS_URL'] ?? `ws://127.0.0.1:${nodePorts.websocket}`,
}

const CONNECT_MS = 60_000
const SEND_EVERY_MS = 100

interface Pair {
  readonly number: number
  readonly sender: Client
  readonly recipient: Client
  readonly accepted: string[]
  readonly received: string[]
}

/** Opens a client of the SDK that counts messages for ever; resolves once it is logged in. */
export async function openClient(cluster: TestCluster, userId: string, url: string, imei = 'e2e'): Promise<Client> {
  const client = connect({
    urls: url,
    token: await cluster.token(userId),
    device: { clientType: url.startsWith('tcp') ? 'android' : 'web', imei },
    backoffCapMs: 1_000,
    sendTimeoutMs: 120_000,
  })
  try {
    await client.ready({ timeoutMs: CONNECT_MS })
    return client
  } catch (error) {
    await client.close()
    throw error
  }
}

/**
 * Users who write to each other all the time, half of them over TCP and half over WebSocket. `finish` stops it and proves
 * that every accepted message arrived, once and in order (P1).
 */
export class Traffic implements AsyncDisposable {
  readonly #pairs: readonly Pair[]
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  readonly #interruptions: string[] = []

  private constructor(pairs: readonly Pair[]) {
    this.#pairs = pairs
    const startedAt = performance.now()
    for (const { number, sender, recipient } of pairs) {
      for (const [name, client] of Object.entries({ sender, recipient })) {
        client.on('disconnected', ({ code, message, attempt }) => {
          const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
          this.#interruptions.push(`${seconds} s: ${name}-${number}, attempt ${attempt}: ${code}: ${message}`)
        })
      }
    }
    this.#running = Promise.all(pairs.map((pair) => this.#talk(pair))).then(() => undefined)
  }

  /** @param at where the clients connect to */
  static async start(cluster: TestCluster, pairs = 4, at: typeof urls = urls): Promise<Traffic> {
    // Those left over when one fails would take turns with the next test's clients, which are the same devices.
    await using leftovers = new AsyncDisposableStack()
    const open = (userId: string, url: string) => {
      const opening = openClient(cluster, userId, url)
      leftovers.defer(() => opening.then((client) => client.close()).catch(() => undefined))
      return opening
    }
    const opened = Array.from({ length: pairs }, async (_, number): Promise<Pair> => {
      const url = number % 2 === 0 ? at.tcp : at.websocket
      const [sender, recipient] = await Promise.all([open(`sender-${number}`, url), open(`recipient-${number}`, url)])
      const received: string[] = []
      recipient.on('message', (message) => void received.push(message.text()))
      return { number, sender, recipient, accepted: [], received }
    })
    const traffic = new Traffic(await Promise.all(opened))
    leftovers.move()
    return traffic
  }

  get accepted(): number {
    return this.#pairs.reduce((sum, { accepted }) => sum + accepted.length, 0)
  }

  /**
   * When and why a client was left without a connection, and each attempt that failed then, a line each. A hand-over is
   * none: the new connection comes first (P3).
   */
  get interruptions(): readonly string[] {
    return this.#interruptions
  }

  get #clients(): Client[] {
    return this.#pairs.flatMap(({ sender, recipient }) => [sender, recipient])
  }

  /** Waits until so many more messages have been accepted: the cluster works. */
  async flows(messages = 20, timeoutMs = 60_000): Promise<void> {
    const wanted = this.accepted + messages
    await waitFor(`${messages} more messages to be accepted`, timeoutMs, () => Promise.resolve(this.accepted >= wanted))
  }

  /** Waits until every recipient has got so many more messages: each client is connected, wherever it was before. */
  async flowsForAll(messages = 5, timeoutMs = 60_000): Promise<void> {
    const wanted = this.#pairs.map(({ received }) => received.length + messages)
    await waitFor(`${messages} more messages to arrive at every client`, timeoutMs, () =>
      Promise.resolve(this.#pairs.every(({ received }, at) => received.length >= (wanted[at] ?? 0))),
    )
  }

  async finish(): Promise<{ messages: number }> {
    this.#stop.abort()
    await this.#running
    for (const { accepted, received } of this.#pairs) {
      // When it does not, the comparison shows which are missing.
      await waitFor('the last message to arrive', 30_000, () =>
        Promise.resolve(received.length >= accepted.length),
      ).catch(() => undefined)
      assert.deepEqual(received, accepted)
    }
    return { messages: this.accepted }
  }

  async #talk({ number, sender, accepted }: Pair): Promise<void> {
    for (let at = 0; !this.#stop.signal.aborted; at += 1) {
      const text = `message ${at}`
      await sender.send(`recipient-${number}`, text)
      accepted.push(text)
      await delay(SEND_EVERY_MS)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await Promise.allSettled([this.#running, ...this.#clients.map((client) => client.close())])
  }
}
