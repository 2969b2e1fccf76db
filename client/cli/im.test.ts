import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { jwtVerify } from 'jose'
import { startGateway, type GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { connect } from '../index.ts'
import { Collector } from '../test-kit.ts'

const im = fileURLToPath(new URL('../im.mjs', import.meta.url))
const SECRET = '0123456789abcdef0123456789abcdef'
const DEADLINE_MS = 60_000
const stack = new AsyncDisposableStack()
const gateways: GatewayProcess[] = []
let directory: Redis
let tokens: { alice: string; bob: string }

before(async () => {
  const redis = stack.use(await startRedis())
  const nats = stack.use(await startNats())
  directory = stack.adopt(new Redis(redis.url), (connection) => connection.disconnect())
  const env = { IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: SECRET, IM_DEVICE_POLICY: 'dual' }
  for (const brokerId of ['gw-0', 'gw-1']) {
    gateways.push(stack.use(await startGateway({ brokerId, redisUrl: redis.url, natsUrl: nats.url, env })))
  }
  const [alice, bob] = await Promise.all(
    ['alice', 'bob'].map((user) => run('token', '--secret', SECRET, '--user', user)),
  )
  assert.ok(alice && bob)
  tokens = { alice: alice.stdout.trim(), bob: bob.stdout.trim() }
})
after(() => stack.disposeAsync())

interface Result {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  const inherited = { PATH: process.env['PATH'] ?? '' }
  return spawn(process.execPath, [im, ...args], {
    env: { ...inherited, ...env },
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
}

async function finish(child: ChildProcess): Promise<Result> {
  assert.ok(child.stdout && child.stderr)
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ])
  return { code, signal, stdout, stderr }
}

async function run(...args: string[]): Promise<Result> {
  const child = start(args)
  child.stdin?.end()
  return finish(child)
}

function at(index: number, kind: 'ws' | 'tcp' = 'ws'): string {
  const gateway = gateways[index]
  assert.ok(gateway)
  return kind === 'ws' ? gateway.wsUrl : gateway.tcpUrl
}

async function firstLine(child: ChildProcess): Promise<string> {
  assert.ok(child.stdout)
  const lines = createInterface({ input: child.stdout })
  const [line] = (await once(lines, 'line')) as [string]
  return line
}

test('token prints a token that the secret verifies, with the claims of the user', async () => {
  const result = await run('token', '--secret', SECRET, '--app', '7', '--user', 'alice', '--ttl', '2m')
  const { payload } = await jwtVerify(result.stdout.trim(), new TextEncoder().encode(SECRET), { algorithms: ['HS256'] })
  const { sub, app, iat = 0, exp = 0 } = payload
  assert.deepEqual({ sub, app, life: exp - iat }, { sub: 'alice', app: 7, life: 120 })
  const short = await run('token', '--secret', 'short', '--user', 'alice')
  assert.deepEqual([short.code, short.stdout], [1, ''])
  assert.match(short.stderr, /^im: secret_too_short: .*32\n$/)
  assert.doesNotMatch(short.stderr, /\bshort\b;/)
})

test('what one sends the other one hears, over another gateway and transport', async () => {
  const listening = start(['listen', '--url', at(1, 'tcp'), '--device', 'web:x', '--count', '2'], {
    IM_TOKEN: tokens.bob,
  })
  const heard = finish(listening)
  const sent = await run('send', '--url', at(0), '--token', tokens.alice, '--to', 'bob', 'hello')
  assert.deepEqual([sent.code, sent.stdout, sent.stderr], [0, '1\n', ''])
  const sending = start(['send', '--to', 'bob', '-'], { IM_TOKEN: tokens.alice, IM_URL: `ws://127.0.0.1:1,${at(0)}` })
  sending.stdin?.end(Buffer.from([0xff, 0x00]))
  assert.deepEqual((await finish(sending)).stdout, '2\n')
  const { code, stdout, stderr } = await heard
  assert.deepEqual([code, stderr], [0, ''])
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  for (const line of lines) {
    assert.equal(typeof line['sentAt'], 'number')
    delete line['sentAt']
  }
  assert.deepEqual(lines, [
    { stream: 'inbox', seq: 1, from: 'alice', payload: 'hello' },
    { stream: 'inbox', seq: 2, from: 'alice', payloadBase64: '/wA=' },
  ])
  // What was printed was acknowledged.
  const later = await run('listen', '--url', at(0), '--token', tokens.bob, '--device', 'web:x', '--timeout', '300ms')
  assert.deepEqual([later.code, later.stdout], [0, ''])
})

test('the same message id makes one message', async () => {
  const args = ['send', '--url', at(0), '--token', tokens.alice, '--to', 'dora', '--message-id', 'order-17', 'paid']
  assert.deepEqual([(await run(...args)).stdout, (await run(...args)).stdout], ['1\n', '1\n'])
  const transient = await run('send', '--url', at(0), '--token', tokens.alice, '--to', 'dora', '--transient', 'typing')
  assert.deepEqual([transient.code, transient.stdout], [0, '0\n'])
})

test('sending neither displaces nor robs a listening device of the same user, and leaves no session', async () => {
  await using alice = connect({ urls: at(0), token: tokens.alice, device: { clientType: 'web', imei: 'browser' } })
  const collector = new Collector(alice)
  await alice.ready()
  assert.equal((await run('send', '--url', at(1), '--token', tokens.alice, '--to', 'bob', 'x')).code, 0)
  assert.equal((await run('send', '--url', at(1), '--token', tokens.bob, '--to', 'alice', 'for alice')).code, 0)
  await collector.until(1)
  assert.ok(alice.connected)
  // Not even an offline one, as a device that only disconnects leaves.
  assert.deepEqual(await directory.hkeys('im:{1:alice}:sessions'), ['1:browser'])
  const presence = await run('presence', '--url', at(1), '--token', tokens.bob, 'alice', 'nobody')
  assert.equal(presence.stdout, '{"userId":"alice","online":["web"]}\n{"userId":"nobody","online":[]}\n')
})

test('errors are one line that says what to do, and exit codes tell them from misuse', async () => {
  const cases: [string[], number, RegExp][] = [
    [['send', '--url', at(0), '--token', 'nonsense', '--to', 'bob', 'x'], 1, /^im: token_invalid: .*im token.*\n$/],
    [['send', '--url', at(0), '--token', tokens.alice, '--to', 'alice', 'x'], 1, /^im: recipient_self: .*--to\n$/],
    [
      ['send', '--url', 'tcp://127.0.0.1:1', '--token', 'x', '--to', 'bob', 'x', '--timeout', '300ms'],
      1,
      /^im: connect_failed: .*tcp:\/\/127\.0\.0\.1:1.*\n$/,
    ],
    [
      [
        'listen',
        '--url',
        at(0),
        '--token',
        tokens.bob,
        '--device',
        'web:y',
        '--start',
        'head',
        '--count',
        '1',
        '--timeout',
        '500ms',
      ],
      1,
      /^im: timeout: 0 of 1 .*\n$/,
    ],
    [['listen', '--url', 'http://h', '--token', 'x'], 1, /^im: option_invalid: .*ws:\/\/.*\n$/],
    [['send', '--url', at(0), '--token', 'x', 'x'], 2, /^im: usage: .*--to.*\n$/],
    [['send', '--url', at(0), '--token', 'x', '--to', 'bob', 'x', '--timeout', 'soon'], 2, /^im: usage: .*10s.*\n$/],
    [['listen', '--url', at(0), '--token', 'x', '--device', 'fridge:1'], 2, /^im: usage: .*web, ios.*\n$/],
    [['sing'], 2, /^im: usage: .*sing.*\n$/],
  ]
  const results = await Promise.all(cases.map(([args]) => run(...args)))
  for (const [index, [args, code, pattern]] of cases.entries()) {
    const result = results[index]
    assert.ok(result)
    assert.deepEqual([result.code, result.stdout], [code, ''], args.join(' '))
    assert.match(result.stderr, pattern)
    assert.doesNotMatch(result.stderr, new RegExp(tokens.alice))
  }
})

test('every command teaches by examples', async () => {
  const overview = await run('--help')
  assert.match(overview.stdout, /Three steps/)
  for (const command of ['token', 'listen', 'send', 'chat', 'presence']) {
    const { code, stdout } = await run(command, '--help')
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`Examples.*:\n  \\$ im ${command} `))
  }
})

test('a device that is displaced is told why and what to do', async () => {
  const listening = start(['listen', '--url', at(0), '--token', tokens.bob, '--device', 'web:first'])
  await using watcher = connect({ urls: at(0), token: tokens.alice, device: { clientType: 'api', imei: 'watcher' } })
  while ((await watcher.presence(['bob'])).get('bob')?.length === 0);
  await using bob = connect({ urls: at(1), token: tokens.bob, device: { clientType: 'web', imei: 'second' } })
  await bob.ready()
  const { code, stderr } = await finish(listening)
  assert.equal(code, 1)
  assert.match(stderr, /^im: displaced: .*--device\n$/)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends it in order, with code ${code}`, async () => {
    const child = start(['listen', '--url', at(0), '--token', tokens.bob, '--device', `ios:${signal}`])
    await run('send', '--url', at(0), '--token', tokens.alice, '--to', 'bob', 'x')
    await firstLine(child)
    child.kill(signal)
    child.kill(signal)
    const [exitCode] = (await once(child, 'exit')) as [number]
    assert.equal(exitCode, code)
  })
}

test('a reader that had enough is no failure, and what it did not read is not acknowledged', async () => {
  for (const n of [1, 2, 3]) await run('send', '--url', at(0), '--token', tokens.alice, '--to', 'erin', `${n}`)
  const erin = (await run('token', '--secret', SECRET, '--user', 'erin')).stdout.trim()
  const command = `"${process.execPath}" "${im}" listen --url ${at(0)} --token ${erin} --device web:e | head -n 1; echo "\${PIPESTATUS[0]}"`
  const waiting = spawn('bash', ['-c', command], { timeout: DEADLINE_MS })
  const result = finish(waiting)
  // Lines that went into the pipe before its reader left tell nobody that it did; a later one does.
  while (waiting.exitCode === null) await run('send', '--url', at(0), '--token', tokens.alice, '--to', 'erin', 'more')
  const lines = (await result).stdout.trim().split('\n')
  assert.match(lines[0] ?? '', /"payload":"1"/)
  assert.equal(lines[1], '0')
})

test('chat sends what is typed and prints what comes', async () => {
  const chatting = start(['chat', '--url', at(0), '--token', tokens.alice, '--to', 'bob'])
  await using bob = connect({
    urls: at(1),
    token: tokens.bob,
    device: { clientType: 'android', imei: 'p' },
    start: 'head',
  })
  const collector = new Collector(bob)
  await bob.ready()
  chatting.stdin?.write('how are you?\n')
  assert.deepEqual(await collector.until(1), ['how are you?'])
  const answer = firstLine(chatting)
  await bob.send('alice', 'fine\u001b[2J')
  assert.equal(await answer, 'bob: fine\uFFFD[2J')
  chatting.stdin?.end()
  assert.equal((await finish(chatting)).code, 0)
})

test('an older Node starts the one that the repository brings, and hands on exit codes and signals', async (t) => {
  const old = spawnSync('bash', ['-c', 'type -ap node'], { encoding: 'utf8' })
    .stdout.split('\n')
    .find((path) => path && /^v2[0-5]\./.test(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout))
  if (!old) return t.skip('there is no older Node here')
  const misused = spawnSync(old, [im, 'sing'], { encoding: 'utf8' })
  assert.equal(misused.status, 2)
  const child = spawn(old, [im, 'listen', '--url', at(0), '--token', tokens.bob, '--device', 'macos:m'], {
    timeout: DEADLINE_MS,
  })
  await run('send', '--url', at(0), '--token', tokens.alice, '--to', 'bob', 'x')
  await firstLine(child)
  child.kill('SIGINT')
  const [code] = (await once(child, 'exit')) as [number]
  assert.equal(code, 130)
})
