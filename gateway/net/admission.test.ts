import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Admission, type Newcomer } from './admission.ts'
import { Metrics } from '../metrics.ts'
import { parseSettings } from '../settings.ts'

function createAdmission(max: number): { admission: Admission; pending: () => Promise<number> } {
  const metrics = new Metrics()
  const settings = parseSettings({
    IM_AUTH_MODE: 'none',
    IM_MAX_PENDING_LOGINS: String(max),
    IM_LOGIN_TIMEOUT_MS: '1000',
  })
  return {
    admission: new Admission(settings, metrics),
    pending: async () => (await metrics.pendingLogins.get()).values[0]?.value ?? 0,
  }
}

/** Admits a newcomer and notes what happens to it. */
function admit(admission: Admission): { newcomer: Newcomer; fate: string[] } {
  const fate: string[] = []
  const newcomer = admission.admit(
    (code) => fate.push(code),
    () => fate.push('destroyed'),
  )
  return { newcomer, fate }
}

test('past the maximum the oldest gives way, at once and for good', async () => {
  const { admission, pending } = createAdmission(2)
  const guests = [admit(admission), admit(admission), admit(admission)]
  assert.deepEqual(
    guests.map(({ fate }) => fate),
    [['login_timeout', 'destroyed'], [], []],
  )
  assert.equal(await pending(), 2)
  for (const { newcomer } of guests) newcomer.leave()
  assert.equal(await pending(), 0)
})

test('one who logged in makes room and is never closed', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { admission, pending } = createAdmission(2)
  const [first, second] = [admit(admission), admit(admission)]
  first.newcomer.leave()
  first.newcomer.leave()
  const third = admit(admission)
  context.mock.timers.tick(1_000)
  assert.deepEqual([first.fate, second.fate, third.fate], [[], ['login_timeout'], ['login_timeout']])
  assert.equal(await pending(), 0)
})

test('one who has sent its login makes room, and is never closed for one that came later', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { admission, pending } = createAdmission(1)
  const [evicted, asker] = [admit(admission), admit(admission)]
  asker.newcomer.asked()
  assert.equal(await pending(), 0)
  const later = [admit(admission), admit(admission)]
  assert.deepEqual(
    [evicted, asker, ...later].map(({ fate }) => fate),
    [['login_timeout', 'destroyed'], [], ['login_timeout', 'destroyed'], []],
  )
  // Its time goes on.
  context.mock.timers.tick(1_000)
  assert.deepEqual(asker.fate, ['login_timeout'])
})

test('time runs from the first moment, whatever stage a newcomer is in', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { admission } = createAdmission(2)
  const { newcomer, fate } = admit(admission)
  context.mock.timers.tick(999)
  const later = mock.fn<(code: string) => void>()
  newcomer.close = later
  context.mock.timers.tick(1)
  assert.deepEqual(fate, [])
  assert.deepEqual(later.mock.calls[0]?.arguments, ['login_timeout'])
})
