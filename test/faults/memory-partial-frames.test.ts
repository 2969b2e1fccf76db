import { it } from 'node:test'
import { buildSend } from '../kit/raw-client.ts'
import { encodeBinary } from '../../protocol/binary.ts'
import {
  assertPressure,
  assertRelieved,
  assertSurvived,
  Bystander,
  CONTAINER_BYTES,
  describeMemory,
  loginMany,
  memoryOf,
  namesOf,
  smallContainer,
  untold,
} from '../kit/memory.ts'
import { metric, TestCluster } from '../kit/test-cluster.ts'
import { until } from '../kit/wait.ts'

const CLIENTS = 2_500

it('2,500 clients begin a large frame and do not finish it: memory stays', { skip: untold }, async (t) => {
  const env = { ...smallContainer, IM_FRAME_TIMEOUT_MS: '1000' }
  await using cluster = await TestCluster.start({ gateways: ['gw-0'], env, persistent: false })
  const gateway = cluster.gateway('gw-0')
  const bystander = await Bystander.open(gateway)
  const clients = await loginMany(gateway, namesOf('hostile', CLIENTS))
  const { now: before } = memoryOf(gateway)

  const begun = encodeBinary(buildSend('nobody', 'm'.repeat(61_000))).subarray(0, 60_000)
  for (const client of clients) void client.sendRaw(begun)
  await until('memory is short', async () => {
    return memoryOf(gateway).peak > CONTAINER_BYTES || (await metric(gateway, 'im_memory_pressure')) === 1
  })
  assertSurvived(gateway)
  await assertPressure(gateway)
  const closed = () => metric(gateway, 'im_closes_total', 'code="frame_timeout"')
  await until('some are closed', async () => (await closed()) > CLIENTS / 10)
  assertSurvived(gateway)
  for (const client of clients) client.destroy()
  t.diagnostic(`bystander: ${await bystander.stop()}`)
  await assertRelieved(gateway)
  t.diagnostic(describeMemory(gateway, before))
  assertSurvived(gateway)
})
