import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseLease } from './brokers/broker.ts'
import { digestSecrets } from './secret-digest.ts'

test('a digest is the same for the same secrets, differs for others, and is too short to say more', async () => {
  const digest = await digestSecrets('nats', 'im:', { IM_NATS_USER: 'u', IM_NATS_PASSWORD: 'p' })
  assert.equal(digest.length, 4)
  assert.equal(
    await digestSecrets('nats', 'im:', { IM_NATS_PASSWORD: 'p', IM_NATS_TOKEN: '', IM_NATS_USER: 'u' }),
    digest,
  )
  const others = await Promise.all([
    digestSecrets('nats', 'im:', { IM_NATS_USER: 'up' }),
    digestSecrets('nats', 'im:', { IM_NATS_USER: 'p', IM_NATS_PASSWORD: 'u' }),
    digestSecrets('nats', 'other:', { IM_NATS_USER: 'u', IM_NATS_PASSWORD: 'p' }),
  ])
  assert.ok(!others.includes(digest))
})

test('digests that cannot be read leave a lease as it is', () => {
  const lease = { brokerId: 'im-0', podUid: 'u', bootId: 'b', state: 'ready', connections: 0 }
  assert.deepEqual(parseLease(JSON.stringify({ ...lease, secrets: { auth: 'abcd', more: 1 } }))?.secrets, {
    auth: 'abcd',
  })
  for (const secrets of ['all', { auth: 1 }, null]) {
    const read = parseLease(JSON.stringify({ ...lease, secrets }))
    assert.deepEqual([read?.brokerId, read?.secrets], ['im-0', undefined])
  }
})
