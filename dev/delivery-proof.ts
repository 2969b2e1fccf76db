import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Client, type ClientTypeName, type Connected } from '../client/index.ts'

/** A user of the proof and the gateway that it connects to. */
export interface Party {
  readonly userId: string
  readonly token: string
  readonly url: string
  readonly clientType: ClientTypeName
}

const DEADLINE_MS = 60_000

/**
 * Connects two users, lets each send the other a durable message, and says in one line who, over which gateways (as those
 * name themselves) and how long it took from `send` to the other's listener. Rejects when a message does not come in time,
 * and when `signal` is aborted.
 */
export async function proveDelivery(one: Party, other: Party, signal: AbortSignal): Promise<string> {
  await using first = await join(one, signal)
  await using second = await join(other, signal)
  // Once unmeasured: a fresh process runs everything for the first time.
  await measure(first, second)
  await measure(second, first)
  const there = await measure(first, second)
  const back = await measure(second, first)
  return `${describe(first)} → ${describe(second)} in ${there.toFixed(1)} ms, and back in ${back.toFixed(1)} ms`
}

interface Joined extends AsyncDisposable {
  readonly party: Party
  readonly client: Client
  readonly connected: Connected
}

async function join(party: Party, signal: AbortSignal): Promise<Joined> {
  const { url, token, clientType } = party
  const client = connect({ urls: url, token, device: { clientType, imei: 'npm-start' }, start: 'head', signal })
  const { promise, resolve } = Promise.withResolvers<Connected>()
  client.on('connected', resolve)
  try {
    await client.ready({ timeoutMs: DEADLINE_MS })
  } catch (error) {
    await client.close()
    throw error
  }
  return {
    party,
    client,
    connected: await promise,
    // Nothing of it shall be left in the directory.
    [Symbol.asyncDispose]: () => client.close({ logout: true }),
  }
}

/** Milliseconds from `send` until the listener of the other has the message. */
async function measure(from: Joined, to: Joined): Promise<number> {
  const text = randomUUID()
  const arrivals = new EventTarget()
  const stopListening = to.client.on('message', (message) => {
    if (message.text() === text && message.from === from.party.userId) arrivals.dispatchEvent(new Event('arrived'))
  })
  const arrived = once(arrivals, 'arrived', { signal: AbortSignal.timeout(DEADLINE_MS) })
  const start = performance.now()
  const took = arrived.then(() => performance.now() - start)
  try {
    const [milliseconds] = await Promise.all([took, from.client.send(to.party.userId, text)])
    return milliseconds
  } finally {
    stopListening()
  }
}

function describe({ party, connected }: Joined): string {
  return `${party.userId} (${party.url.startsWith('ws') ? 'WebSocket' : 'TCP'}, ${connected.brokerId})`
}
