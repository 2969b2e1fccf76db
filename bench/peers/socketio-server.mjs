// Socket.IO with its Redis adapter, as its documentation shows it: a room for each user. Its only argument, as JSON: the port, and
// the URL of Redis. It answers whoever asks for an answer.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const { port, redisUrl } = JSON.parse(process.argv[2])
const [publisher, subscriber] = [new Redis(redisUrl), new Redis(redisUrl)]
await Promise.all([once(publisher, 'ready'), once(subscriber, 'ready')])

const server = createServer()
const io = new Server(server, {
  transports: ['websocket'],
  serveClient: false,
  adapter: createAdapter(publisher, subscriber),
})
io.on('connection', (socket) => {
  const { user } = socket.handshake.auth
  void socket.join(user)
  socket.on('m', (to, payload, answer) => {
    io.to(to).emit('m', user, payload)
    answer?.()
  })
})
// What the adapter subscribed to, it asked for before this.
await subscriber.ping()
server.listen(port, '127.0.0.1', () => console.log('ready'))
