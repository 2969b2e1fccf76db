// node redis-sets.ts <address of everything>: run in a network of its own
import { startGateway } from '../../kit/servers/gateway-process.ts'
import { startNats } from '../../kit/servers/nats-server.ts'
import { Keys } from '../../../session/keys.ts'
import { assertDelivered, Device } from '../../kit/device.ts'
import { startRedisCluster, startSentinelSet } from '../../kit/replicated-redis.ts'
import { until } from '../../kit/wait.ts'

const [host = ''] = process.argv.slice(2)
/** Enough that each node of a Redis Cluster has some. */
const users = Array.from({ length: 12 }, (_, at) => `user-${at}`)
const sessionsOfFirst = new Keys('im:').sessions({ appId: 1, userId: 'user-0' })

for (const set of [() => startSentinelSet(host), () => startRedisCluster(sessionsOfFirst, host)]) {
  await using redis = await set()
  await using nats = await startNats({ host })
  await using gateway = await startGateway({
    brokerId: 'gw-0',
    redisUrl: redis.url,
    natsUrl: nats.url,
    host,
    env: { IM_LISTEN_HOST: '' },
  })
  await using stack = new AsyncDisposableStack()
  const devices = await Promise.all(
    users.map(async (user) => stack.use(await Device.open([gateway], { user, transport: 'tcp' }))),
  )
  const exchange = (text: string) =>
    Promise.all(
      devices.map(async (device, at) => {
        const from = devices[(at + 1) % devices.length] ?? device
        const sent = await until(`${text} to ${device.user}`, () => from.client.send(device.user, text))
        await device.has([sent])
        return sent
      }),
    )
  const sent = await exchange('before')
  await redis.cut()
  await redis.failOver()
  const later = await exchange('after')
  for (const [at, device] of devices.entries()) {
    assertDelivered(
      device,
      [sent[at], later[at]].flatMap((message) => message ?? []),
    )
  }
}
