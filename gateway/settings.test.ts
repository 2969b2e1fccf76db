import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { devicePolicies } from '../session/device-policy.ts'
import { GatewayError } from './errors.ts'
import { defaultMemoryBudget } from './memory/memory-limit.ts'
import { buildSettingsTable, parseSettings, type GatewaySettings } from './settings.ts'

const secret = 'x'.repeat(32)

/** Reads settings; what every gateway needs is there. */
function parse(env: Readonly<Record<string, string>> = {}): GatewaySettings {
  return parseSettings({ IM_AUTH_SECRET: secret, ...env })
}

/** Checks that all these mistakes, and no others, are told in one error. */
function assertMistakes(env: Readonly<Record<string, string>>, ...mistakes: RegExp[]): void {
  assert.throws(
    () => parseSettings(env),
    (error) => {
      assert.ok(error instanceof GatewayError)
      assert.equal(error.code, 'SETTINGS_INVALID')
      assert.equal(error.retryable, false)
      for (const mistake of mistakes) assert.match(error.message, mistake)
      assert.equal(error.message.split('; ').length, mistakes.length, error.message)
      return true
    },
  )
}

test('without settings but a secret there are defaults', () => {
  const settings = parse()
  assert.match(settings.brokerId, /^[A-Za-z0-9_-]{1,63}$/)
  const { tcpPort, wsPort, adminPort, redisUrl, natsServers, authMode, authApps, keyPrefix, subjectPrefix } = settings
  assert.deepEqual([tcpPort, wsPort, adminPort], [9000, 8080, 9090])
  assert.deepEqual([redisUrl, natsServers], ['redis://127.0.0.1:6379', ['nats://127.0.0.1:4222']])
  assert.deepEqual([authMode, authApps, keyPrefix, subjectPrefix], ['secret', [], 'im:', ''])
  assert.deepEqual(settings.devicePolicy, devicePolicies.unlimited)
  assert.equal(settings.logLevel, 'info')
  // Each process is a pod of its own unless it is told which.
  assert.notEqual(settings.podUid, parse().podUid)
})

test('an empty variable counts as not set, and variables of others are not looked at', () => {
  const settings = parse({ IM_TCP_PORT: '', IM_NATS_SERVERS: '', IM: '1', IMPORT: '1', PATH: '/bin' })
  assert.equal(settings.tcpPort, 9000)
  assert.deepEqual(settings.natsServers, ['nats://127.0.0.1:4222'])
})

test('values are read as what they are', () => {
  const settings = parse({
    IM_BROKER_ID: 'im-0',
    IM_NATS_SERVERS: ' nats://a:4222, ,nats://[fd00::1]:4222 ',
    IM_AUTH_APPS: '1, 2,4294967295',
    IM_TCP_PORT: '0',
    IM_SUBJECT_PREFIX: 'prod.eu.',
    IM_DEVICE_POLICY: '{"classes":[{"name":"phone","clientTypes":[2,3],"limit":2}]}',
    IM_INBOX_RETENTION_MS: '1000',
  })
  assert.deepEqual(settings.natsServers, ['nats://a:4222', 'nats://[fd00::1]:4222'])
  assert.deepEqual(settings.authApps, [1, 2, 4_294_967_295])
  assert.deepEqual([settings.brokerId, settings.tcpPort, settings.subjectPrefix], ['im-0', 0, 'prod.eu.'])
  assert.deepEqual(settings.devicePolicy, { classes: [{ name: 'phone', clientTypes: [2, 3], limit: 2 }] })
  assert.equal(settings.inboxRetentionMs, 1_000)
})

test('every mistake is told, at once', () => {
  assertMistakes(
    {
      IM_BROKER_ID: 'im.0',
      IM_TCP_PORT: '70000',
      IM_WS_PORT: 'http',
      IM_MAX_FRAME_BYTES: '1',
      IM_LOGIN_TIMEOUT_MS: '0',
      IM_LEASE_MS: '-6000',
      IM_AUTH_MODE: 'jwt',
      IM_AUTH_APPS: '1,one',
      IM_SUBJECT_PREFIX: 'prod',
      IM_LOG_LEVEL: 'verbose',
      IM_DEVICE_POLICY: 'quadruple',
      IM_MAX_CONECTIONS: '5',
    },
    /IM_BROKER_ID must be 1 to 63 letters/,
    /IM_TCP_PORT must be at most 65535/,
    /IM_WS_PORT must be a whole number/,
    /IM_MAX_FRAME_BYTES must be at least 1024/,
    /IM_LOGIN_TIMEOUT_MS must be at least 1/,
    /IM_LEASE_MS must be a whole number/,
    /IM_AUTH_MODE must be one of secret, jwks, none/,
    /IM_AUTH_APPS must be appIds/,
    /IM_SUBJECT_PREFIX must be empty or end in a dot/,
    /IM_LOG_LEVEL must be one of fatal, /,
    /IM_DEVICE_POLICY the device policy is neither one of single, dual/,
    /IM_MAX_CONECTIONS is no setting/,
  )
})

test('names and prefixes that would leave their subject are refused', () => {
  for (const brokerId of ['a.b', '*', '>', 'a b', 'ü', 'x'.repeat(64)]) {
    assertMistakes({ IM_AUTH_SECRET: secret, IM_BROKER_ID: brokerId }, /IM_BROKER_ID/)
  }
  for (const prefix of ['>.', '*.', 'a..', '.', 'a b.']) {
    assertMistakes({ IM_AUTH_SECRET: secret, IM_SUBJECT_PREFIX: prefix }, /IM_SUBJECT_PREFIX/)
  }
})

describe('settings that do not fit together', () => {
  test('a way to check tokens without what it needs', () => {
    assertMistakes({}, /IM_AUTH_SECRET must have at least 32 bytes/)
    assertMistakes({ IM_AUTH_SECRET: 'x'.repeat(31) }, /IM_AUTH_SECRET must have at least 32 bytes/)
    assertMistakes({ IM_AUTH_MODE: 'jwks' }, /IM_AUTH_JWKS_URL must be a URL/)
    assertMistakes({ IM_AUTH_MODE: 'jwks', IM_AUTH_JWKS_URL: 'keys.json' }, /IM_AUTH_JWKS_URL must be a URL/)
    assert.equal(parseSettings({ IM_AUTH_SECRET: 'é'.repeat(16) }).authMode, 'secret')
    assert.equal(parseSettings({ IM_AUTH_MODE: 'none' }).authMode, 'none')
    const env = { IM_AUTH_MODE: 'jwks', IM_AUTH_JWKS_URL: 'https://login/keys' }
    assert.equal(parseSettings(env).authJwksUrl, 'https://login/keys')
  })

  test('half a TLS pair', () => {
    for (const name of ['IM_TLS_CERT_FILE', 'IM_TLS_KEY_FILE']) {
      assertMistakes({ IM_AUTH_SECRET: secret, [name]: '/tls/file' }, /must be set together/)
    }
  })

  test('times that would break a promise, all told at once', () => {
    assertMistakes(
      { IM_AUTH_SECRET: secret, IM_HEARTBEAT_MS: '60000', IM_DEDUPE_MS: '3000' },
      /IM_HEARTBEAT_MS must be less than IM_IDLE_TIMEOUT_MS/,
      /IM_DEDUPE_MS must be more than IM_REDIS_TIMEOUT_MS/,
    )
  })
})

describe('the memory budget', () => {
  const MEBI = 1_048_576
  test('is by default an eighth of the limit of the container, within bounds', () => {
    const machine = 64_000 * MEBI
    for (const [limit, budget] of [
      [128, 16],
      [64, 16],
      [256, 32],
      [1_024, 128],
      [20_000, 1_024],
    ] as const) {
      assert.equal(defaultMemoryBudget(limit * MEBI, machine), budget * MEBI)
    }
    // No limit is 0, or a number that no machine has.
    for (const none of [0, 2 ** 64, 2 ** 63 - 4_096]) {
      assert.equal(defaultMemoryBudget(none, 2_048 * MEBI), 256 * MEBI)
    }
    assert.equal(parseSettings({ IM_AUTH_SECRET: secret }).memoryBudgetBytes, defaultMemoryBudget())
  })

  test('must have room for some of the largest frames', () => {
    const env = { IM_AUTH_SECRET: secret, IM_MAX_FRAME_BYTES: '65536' }
    assertMistakes({ ...env, IM_MEMORY_BUDGET_BYTES: '2097151' }, /IM_MEMORY_BUDGET_BYTES must be at least 2097152/)
    assertMistakes({ ...env, IM_MEMORY_BUDGET_BYTES: '1e9' }, /IM_MEMORY_BUDGET_BYTES must be a whole number/)
    assert.equal(parseSettings({ ...env, IM_MEMORY_BUDGET_BYTES: '2097152' }).memoryBudgetBytes, 2_097_152)
  })
})

test('a NATS server is a name or an address, of IPv6 in brackets, with or without scheme and port', () => {
  const good = ['nats', 'nats:4222', 'TLS://nats.data/', '10.0.0.1:4222', '[::1]', 'nats://u:p@[::ffff:10.0.0.1]:4222/']
  for (const server of good) assert.deepEqual(parse({ IM_NATS_SERVERS: server }).natsServers, [server])
  for (const server of ['nats://::1:4222', 'fd00::1', 'nats://[::1', 'nats://[nats]:4222', 'nats:4222:1', 'http://a']) {
    assert.throws(() => parse({ IM_NATS_SERVERS: server }), /IM_NATS_SERVERS must be .* an IPv6 address in brackets/)
  }
})

test('no mistake shows a secret', () => {
  const leaks = { IM_AUTH_SECRET: 'hush', IM_NATS_PASSWORD: 'hush', IM_NATS_TOKEN: 'hush', IM_TCP_PORT: 'x' }
  assert.throws(
    () => parseSettings(leaks),
    (error) => error instanceof Error && !error.message.includes('hush'),
  )
})

const page = new URL('../docs/settings.md', import.meta.url)

/** Puts the table between its markers. */
function fillTable(text: string): string {
  return text.replace(
    /(<!-- table: settings -->\n)[^]*?(<!-- \/table -->)/,
    (_, begin: string, end: string) => `${begin}\n${buildSettingsTable()}\n\n${end}`,
  )
}

if (process.argv.includes('--write')) writeFileSync(page, fillTable(readFileSync(page, 'utf8')))

describe('docs/settings.md', () => {
  test('shows every setting as it is', () => {
    const text = readFileSync(page, 'utf8')
    assert.ok(text.includes(buildSettingsTable()), 'out of date; run: node gateway/settings.test.ts --write')
    assert.equal(text, fillTable(text))
  })

  test('gives an example of a device policy that is one', () => {
    const [, json = ''] = /```json\n([^]*?)```/.exec(readFileSync(page, 'utf8')) ?? []
    assert.equal(parse({ IM_DEVICE_POLICY: json }).devicePolicy.classes.length, 2)
  })
})

test('the docs for clients state the defaults that a client rests on', () => {
  const pages = ['protocol', 'client'].map((name) =>
    readFileSync(new URL(`../docs/${name}.md`, import.meta.url), 'utf8'),
  )
  const text = pages.join('\n').replaceAll(/\s+/g, ' ')
  const { idleTimeoutMs, frameTimeoutMs, dedupeMs, maxDevices } = parse()
  for (const phrase of [
    `idle time-out (${idleTimeoutMs / 1000} s by default)`,
    `finished in time (${frameTimeoutMs / 1000} s by default)`,
    `dedupe window (${dedupeMs / 60_000} minutes by default)`,
    `a user has at most ${maxDevices} devices online by default`,
    `whatever the policy (${maxDevices} by default)`,
  ]) {
    assert.ok(text.includes(phrase), phrase)
  }
})
