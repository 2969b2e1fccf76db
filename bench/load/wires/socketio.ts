import { openSocket } from './socket.ts'
import type { MessageKind, Wire, WireHandlers, WireUser } from './wire.ts'

// Engine.IO 4 in front (4: a message), then Socket.IO 5 (0: connect, 2: event, 3: acknowledgement).
const ENGINE_OPEN = '0'
const ENGINE_PING = '2'
const CONNECT = '40'
const EVENT = '42'
const ACKNOWLEDGEMENT = '43'

/**
 * A user of Socket.IO, without its client: that does more than is needed, at the cost of what it shares the machine with. The
 * payload is text, as it is in most programs, and costs less than bytes, which need a second frame.
 */
async function openSocketIo(
  url: string,
  user: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
  asksForAnswers: boolean,
): Promise<Wire> {
  const loggedIn = Promise.withResolvers<void>()
  loggedIn.promise.catch(() => undefined)
  const fail = (what: string) => {
    const error = new Error(`${user.userId} ${what}`)
    loggedIn.reject(error)
    handlers.onFailed(error)
  }
  const socket = await openSocket(`${url}/socket.io/?EIO=4&transport=websocket`, {
    onData(data, { send }) {
      const text = data.toString('utf8')
      if (text.startsWith(EVENT)) {
        const [, from, payload] = JSON.parse(text.slice(EVENT.length)) as [event: string, from: string, payload: string]
        const [number, dueAt] = payload.split(' ', 2).map(Number)
        handlers.onMessage(from, number ?? 0, dueAt ?? 0)
      } else if (text.startsWith(ACKNOWLEDGEMENT)) handlers.onAnswer()
      else if (text.startsWith(CONNECT)) loggedIn.resolve()
      else if (text.startsWith(ENGINE_OPEN)) send(CONNECT + JSON.stringify({ user: user.userId }))
      else if (text === ENGINE_PING) send('3')
      else fail(`got ${text.slice(0, 100)}`)
    },
    onLost: () => fail('lost its connection'),
  })
  await loggedIn.promise
  return {
    send(to, number, dueAt) {
      const payload = `${number} ${dueAt} `.padEnd(kind.payloadBytes, '.')
      socket.send(`${EVENT}${asksForAnswers ? number : ''}${JSON.stringify(['m', to, payload])}`)
    },
    // It is the server that pings.
    ping: () => undefined,
    close: () => socket.close(),
  }
}

export const openSocketIoWire = (
  url: string,
  user: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
): Promise<Wire> => openSocketIo(url, user, kind, handlers, false)

export const openSocketIoAckWire = (
  url: string,
  user: WireUser,
  kind: MessageKind,
  handlers: WireHandlers,
): Promise<Wire> => openSocketIo(url, user, kind, handlers, true)
