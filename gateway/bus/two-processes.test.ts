import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { BusTap } from '../../test/kit/bus-tap.ts'
import { buildSend, textOf } from '../../test/kit/raw-client.ts'
import { deviceField, Keys } from '../../session/keys.ts'
import { openRedis } from '../../session/test-kit.ts'
import { formatUserSession, parseUserSession } from '../../session/user-session.ts'
import { loginTcp, openBench, SECRET } from '../test-bench.ts'

const bench = await openBench()
after(() => bench[Symbol.asyncDispose]())

test('a user with a device under a dead process of a broker is sent binary records all the same, and gets each message once', async () => {
  await using client = await openRedis(bench.redis.url)
  const sessions = new Keys().sessions({ appId: 1, userId: 'bob' })
  const [here, there] = await Promise.all([bench.startHere('here'), bench.startHere('there')])
  await using alice = await loginTcp(here, { token: '1:alice' })
  await using bob = await loginTcp(there, { token: '1:bob' })
  const [json = ''] = await client.redis.hvals(sessions)
  // Of a process that was killed, and that nobody has cleaned up after yet.
  const dead = { ...parseUserSession(json), imei: 'other', connectionId: 'of the dead', incarnation: 'pod/b1-dead' }
  await client.redis.hset(sessions, deviceField(dead), formatUserSession(dead))
  await using tap = await BusTap.open(bench.nats.url)
  alice.send(buildSend('bob', `${SECRET} durable`))
  await alice.next('accepted')
  alice.send(buildSend('bob', `${SECRET} transient`, { durable: false }))
  await alice.next('accepted')
  for (const kind of ['durable', 'transient']) assert.equal(textOf(await bob.next('message')), `${SECRET} ${kind}`)
  await bob.sync()
  assert.deepEqual(bob.unread, [])
  await tap.flush()
  assert.deepEqual(
    tap.messages.flatMap(({ to, form, types }) => types.map((type) => `${to} ${form} ${type}`)),
    ['there 1 push', 'there 1 push', 'there 1 transient'],
  )
})
