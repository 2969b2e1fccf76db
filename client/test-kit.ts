import type { Client } from './client.ts'
import type { ClientEvents } from './events.ts'
import type { NodeClientOptions } from './index.ts'
import type { ScriptedConnection } from './test-gateway.ts'

const WAIT_MS = 60_000

/** The next event of that name that satisfies `wanted`. Rejects when none comes within a minute. */
export function nextEvent<Name extends keyof ClientEvents>(
  client: Client,
  name: Name,
  wanted: (event: ClientEvents[Name]) => boolean = () => true,
): Promise<ClientEvents[Name]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no event ${name}`)), WAIT_MS)
    const remove = client.on(name, (event) => {
      if (!wanted(event)) return
      clearTimeout(timer)
      remove()
      resolve(event)
    })
  })
}

/** Keeps the texts of all messages, and can wait until there are as many. */
export class Collector {
  readonly texts: string[] = []
  readonly seqs: number[] = []
  readonly #client: Client
  constructor(client: Client) {
    this.#client = client
    client.on('message', (message) => {
      this.texts.push(message.text())
      this.seqs.push(message.seq)
    })
  }

  async until(count: number): Promise<readonly string[]> {
    while (this.texts.length < count) await nextEvent(this.#client, 'message')
    return this.texts
  }
}

/** Options for a test's client: quick to reconnect, everything else as by default. */
export function buildOptions(urls: string | string[], more: Partial<NodeClientOptions> = {}): NodeClientOptions {
  return {
    urls,
    token: '1:alice',
    device: { clientType: 'web', imei: 'phone-1' },
    backoffBaseMs: 10,
    backoffCapMs: 50,
    ...more,
  }
}

/** A request and its answer: afterwards each side has read what the other sent before. */
export async function roundTrip(client: Client, connection: ScriptedConnection): Promise<void> {
  const presence = client.presence(['bob'])
  const { requestId } = await connection.next('presence')
  connection.send({ type: 'presenceState', requestId, users: [] })
  await presence
}
