import { openSocket } from './socket.ts'
import { packPayload, unpackPayload, type MessageKind, type Wire, type WireHandlers, type WireUser } from './wire.ts'

/** First byte of a message of the floor; each name is preceded by its length in a byte. */
export const floorKinds = { login: 0, send: 1, message: 2, answer: 3, ping: 4 } as const

/** A user of the floor: see bench/peers/floor-server.ts. */
export async function openFloorWire(
  url: string,
  user: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
): Promise<Wire> {
  const loggedIn = Promise.withResolvers<void>()
  loggedIn.promise.catch(() => undefined)
  const socket = await openSocket(url, {
    onData(data) {
      if (data[0] === floorKinds.message) {
        const { name, rest } = readName(data)
        handlers.onMessage(name, ...unpackPayload(rest))
      } else if (data[0] === floorKinds.answer) handlers.onAnswer()
      else if (data[0] === floorKinds.login) loggedIn.resolve()
    },
    onLost() {
      const error = new Error(`${user.userId} lost its connection`)
      loggedIn.reject(error)
      handlers.onFailed(error)
    },
  })
  socket.send(buildFloorMessage(floorKinds.login, user.userId))
  await loggedIn.promise
  return {
    send: (to, number, dueAt) =>
      socket.send(buildFloorMessage(floorKinds.send, to, packPayload(kind.payloadBytes, number, dueAt))),
    ping: () => socket.send(Uint8Array.of(floorKinds.ping)),
    close: () => socket.close(),
  }
}

/** Kind, length of the name, name, and whatever follows. */
export function buildFloorMessage(kind: number, name: string, rest: Uint8Array = new Uint8Array()): Buffer {
  const length = Buffer.byteLength(name)
  const message = Buffer.allocUnsafe(2 + length + rest.length)
  message[0] = kind
  message[1] = length
  message.write(name, 2)
  message.set(rest, 2 + length)
  return message
}

/** The name in a message, and what follows it. */
export function readName(message: Buffer): { readonly name: string; readonly rest: Buffer } {
  const end = 2 + (message[1] ?? 0)
  return { name: message.toString('utf8', 2, end), rest: message.subarray(end) }
}
