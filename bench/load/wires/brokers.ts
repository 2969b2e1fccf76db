import { Redis } from 'ioredis'
import { connect } from 'nats'
import { parsePlace } from '../../../test/kit/servers/local-host.ts'
import {
  CONNECT_DEADLINE_MS,
  packPayload,
  unpackPayload,
  type MessageKind,
  type Wire,
  type WireHandlers,
  type WireUser,
} from './wire.ts'

/** A user with a subject of its own in NATS, and no server of anybody between: what NATS itself costs. */
export async function openNatsWire(
  url: string,
  { userId }: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
): Promise<Wire> {
  const { host, port } = parsePlace(url)
  const nats = await connect({ servers: `${host}:${port}`, timeout: CONNECT_DEADLINE_MS, reconnect: false })
  let closed = false
  void nats.closed().then(() => closed || handlers.onFailed(new Error(`${userId} lost its connection`)))
  nats.subscribe(`user.${userId}`, {
    callback(error, { data, reply }) {
      if (error) handlers.onFailed(error)
      // The reply subject names the sender; nobody listens there.
      else handlers.onMessage(reply ?? '', ...unpackPayload(data))
    },
  })
  await nats.flush()
  return {
    send: (to, number, dueAt) =>
      nats.publish(`user.${to}`, packPayload(kind.payloadBytes, number, dueAt), { reply: userId }),
    ping: () => undefined,
    close() {
      closed = true
      void nats.close()
    },
  }
}

/**
 * A user with a list and a channel of its own in Redis: a message is appended and published, which is the least that one costs
 * that is stored and pushed. Answered by Redis.
 */
export async function openRedisWire(
  url: string,
  { userId }: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
): Promise<Wire> {
  const options = {
    connectTimeout: CONNECT_DEADLINE_MS,
    lazyConnect: true,
    retryStrategy: () => null,
    enableAutoPipelining: true,
  }
  const fail = (error: Error) => handlers.onFailed(error)
  const [sender, listener] = [new Redis(url, options), new Redis(url, options)]
  let closed = false
  for (const client of [sender, listener]) {
    client.on('error', fail)
    client.on('end', () => closed || handlers.onFailed(new Error(`${userId} lost its connection`)))
    await client.connect()
  }
  listener.on('messageBuffer', (_: Buffer, data: Buffer) => {
    const length = data[0] ?? 0
    handlers.onMessage(data.toString('utf8', 1, 1 + length), ...unpackPayload(data.subarray(1 + length)))
  })
  await listener.subscribe(`user:${userId}`)
  return {
    send(to, number, dueAt) {
      const payload = packPayload(kind.payloadBytes, number, dueAt)
      const data = Buffer.concat([Buffer.of(Buffer.byteLength(userId)), Buffer.from(userId), payload])
      void sender.rpush(`inbox:${to}`, data).catch(fail)
      void sender.publish(`user:${to}`, data).then(() => handlers.onAnswer(), fail)
    },
    ping: () => undefined,
    close() {
      closed = true
      sender.disconnect()
      listener.disconnect()
    },
  }
}
