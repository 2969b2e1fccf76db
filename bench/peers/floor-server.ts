// The floor: the least that a message costs in Node with `ws` and `nats`. A map in memory says who is where; nothing is stored,
// checked, bounded or tried again. Its only argument is FloorOptions as JSON.
import { connect } from 'nats'
import { WebSocketServer, type WebSocket } from 'ws'
import { parsePlace } from '../../test/kit/servers/local-host.ts'
import { buildFloorMessage, floorKinds, readName } from '../load/wires/floor.ts'
import { buildSpoiler } from './floor-fault.ts'
import type { FloorOptions } from './floor-options.ts'

const { id, port, natsUrl, acks, broadcasts, fault } = JSON.parse(process.argv[2] ?? '{}') as FloorOptions
const { host, port: natsPort } = parsePlace(natsUrl)
const nats = await connect({ servers: `${host}:${natsPort}` })
const ALL = 'floor.all'
const answer = Uint8Array.of(floorKinds.answer)
const pong = Uint8Array.of(floorKinds.ping)
const loggedIn = Uint8Array.of(floorKinds.login)

/** Users here, and the floor that each of the others is at. */
const local = new Map<string, WebSocket>()
const places = new Map<string, string>()

const deliver = buildSpoiler(fault, (to: string, message: Uint8Array) => local.get(to)?.send(message))
const subjectOf = (floor: string) => `floor.at.${floor}`

/** A message for one user, as it goes over the bus: the recipient's name, and what the recipient gets. */
const take = (record: Buffer) => {
  const { name, rest } = readName(record)
  if (local.has(name)) deliver(name, rest)
}
nats.subscribe(broadcasts ? ALL : subjectOf(id), {
  callback: (_, { data }) => take(Buffer.from(data.buffer, data.byteOffset, data.length)),
})
nats.subscribe('floor.login', {
  callback: (_, { data }) => {
    const { user, floor } = JSON.parse(Buffer.from(data).toString()) as { user: string; floor: string }
    places.set(user, floor)
  },
})
await nats.flush()

const server = new WebSocketServer({ port, host: '127.0.0.1', perMessageDeflate: false, clientTracking: false })
server.on('connection', (socket) => {
  let user = ''
  socket.on('message', (data: Buffer) => {
    if (data[0] === floorKinds.ping) return socket.send(pong)
    const { name, rest } = readName(data)
    if (data[0] === floorKinds.login) {
      user = name
      local.set(user, socket)
      nats.publish('floor.login', JSON.stringify({ user, floor: id }))
      // All of the others have it before any message.
      return void nats.flush().then(() => socket.send(loggedIn))
    }
    const message = buildFloorMessage(floorKinds.message, user, rest)
    if (local.has(name)) deliver(name, message)
    else nats.publish(broadcasts ? ALL : subjectOf(places.get(name) ?? ''), buildFloorMessage(0, name, message))
    if (acks) socket.send(answer)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => local.delete(user))
})
server.on('listening', () => console.log('ready'))
