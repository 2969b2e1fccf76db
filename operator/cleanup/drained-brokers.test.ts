import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { tellDeparture } from '../../session/brokers/clients-cut-off.ts'
import { Keys } from '../../session/keys.ts'
import { awaitReady, closeRedis, connectRedis } from '../../session/redis/redis.ts'
import { recordDepartures } from './drained-brokers.ts'
import type { PodFacts } from '../reads/pod.ts'

const broker = { brokerId: 'im-0', podUid: 'a', bootId: 'boot-a' }
const incarnation = { ...broker, host: '10.0.0.1', startedAt: 0 }
const running = (uid: string): PodFacts => ({ uid, gateway: { runningSince: new Date(0) } })

test('a gateway that left is recorded once its process has ended, by whatever proves that, and shown until then', async () => {
  await using stack = new AsyncDisposableStack()
  const { url } = stack.use(await startRedis({ persistent: false }))
  const redis = connectRedis(url, { connectionName: 'test', commandTimeoutMs: 3_000, onError: () => undefined })
  stack.defer(() => closeRedis(redis))
  await awaitReady(redis, 60_000)
  const keys = new Keys('im:')
  const look = async (
    pod: PodFacts | undefined,
    registered = [] as (typeof incarnation)[],
    recorded: string[] = [],
  ) => {
    const { records, departed } = await recordDepartures(
      {
        redis,
        keys,
        known: [broker, { ...broker, bootId: '' }],
        recorded: new Map(recorded.map((bootId) => [bootId, 0])),
        readPod: () => Promise.resolve(pod),
      },
      registered,
    )
    cutOffs = records.map(({ clientsCutOff }) => clientsCutOff)
    for (const record of records) assert.deepEqual([record.bootId, record.sessionsRemoved], ['boot-a', 0])
    return [records.map(({ proof, orphansLeft }) => `${proof.pod} ${proof.lease} ${orphansLeft}`), departed]
  }

  let cutOffs: (number | undefined)[] = []
  const cutOff = async () => {
    await look(undefined)
    return cutOffs[0]
  }

  assert.deepEqual(await look(running('a')), [[], [broker]])
  assert.deepEqual(await look(undefined), [['PodGone LeaseReleased 0'], []])
  assert.deepEqual(await look(running('b')), [['PodReplaced LeaseReleased 0'], []])
  assert.deepEqual(await look({ uid: 'a', gateway: {} }), [['ContainerEnded LeaseReleased 0'], []])
  const successor = { ...incarnation, bootId: 'boot-b' }
  assert.deepEqual(await look(running('a'), [successor]), [['ContainerEnded LeaseReleased 0'], []])
  // Not departed at all, and recorded before.
  assert.deepEqual(await look(undefined, [incarnation]), [[], []])
  assert.deepEqual(await look(undefined, [], ['boot-a']), [[], []])
  await tellDeparture(redis, keys, broker, 0)
  await tellDeparture(redis, keys, { ...broker, bootId: 'boot-b' }, 1)
  assert.equal(await cutOff(), undefined)
  await tellDeparture(redis, keys, broker, 17)
  assert.equal(await cutOff(), 17)
  assert.ok((await redis.pttl(keys.departure('im-0', 'boot-a'))) > 0, 'it goes by itself')
  await redis.sadd(keys.index('im-0', 'boot-a'), '1:alice:1:phone')
  assert.deepEqual(await look(undefined), [['PodGone LeaseReleased 1'], []])
})
