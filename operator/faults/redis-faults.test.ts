import assert from 'node:assert/strict'
import { test } from 'node:test'
import { translateError } from '../../session/redis/redis-errors.ts'
import type { ImCluster } from '../api/imcluster.ts'
import { buildRedisFault } from './redis-faults.ts'

test('what Redis refuses has a reason of its own, apart from that it cannot be reached', () => {
  const cluster = { spec: { redis: { url: 'redis://r' } } } as unknown as ImCluster
  const faultOf = (message: string, keys?: string[]) =>
    buildRedisFault(translateError(new Error(message), keys), cluster)
  assert.equal(faultOf("OOM command not allowed when used memory > 'maxmemory'.").reason, 'RedisFull')
  const refusals = ["READONLY You can't write against a read only replica.", 'MISCONF Errors writing', 'NOREPLICAS Not']
  for (const refusal of refusals) assert.equal(faultOf(refusal).reason, 'RedisRefusesWrites', refusal)
  const foreign = faultOf('WRONGTYPE Operation against a key', ['im:clusters'])
  assert.equal(foreign.reason, 'RedisForeignKey')
  assert.match(foreign.message, /the register of clusters \(im:clusters\)/)
  const loading = faultOf('LOADING Redis is loading the dataset in memory')
  assert.equal(loading.reason, 'RedisLoading')
  assert.match(loading.message, /^Redis is loading its data after a start; it answers when that is done$/)
  const away = faultOf('Connection is closed.')
  assert.equal(away.reason, 'RedisUnavailable')
  assert.match(away.message, /check spec\.redis\.url/)
})
