import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startGateway, type GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { startNats } from '../test/kit/servers/nats-server.ts'
import { startRedis } from '../test/kit/servers/redis-server.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const SECRET = 'for development only: everybody knows this secret'
const DEADLINE_MS = 90_000
const stack = new AsyncDisposableStack()
let start: (env: Record<string, string>) => Promise<GatewayProcess>
let directory: string
/** The snippets of the guide by language, in their order. */
let snippets: Record<string, string[]>

before(async () => {
  const [redis, nats] = [stack.use(await startRedis()), stack.use(await startNats())]
  let count = 0
  start = async (env) => {
    const brokerId = `gw-${(count += 1)}`
    const own = { IM_KEY_PREFIX: `${brokerId}:`, IM_SUBJECT_PREFIX: `${brokerId}.` }
    return stack.use(await startGateway({ brokerId, redisUrl: redis.url, natsUrl: nats.url, env: { ...own, ...env } }))
  }
  directory = await mkdtemp(join(tmpdir(), 'im-guide-'))
  stack.defer(() => rm(directory, { recursive: true }))
  snippets = await readSnippets('docs/client.md')
})
after(() => stack.disposeAsync())

async function readSnippets(page: string): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {}
  const text = await readFile(join(root, page), 'utf8')
  for (const [, language = '', code = ''] of text.matchAll(/^```(\w*)\n([^]*?)^```$/gm))
    (found[language] ??= []).push(code)
  return found
}

function snippet(language: string, containing: string): string {
  const found = snippets[language]?.find((code) => code.includes(containing))
  assert.ok(found, containing)
  return found
}

/** A snippet with the addresses of this test in place of the guide's. */
function adapt(code: string, { wsUrl, tcpUrl }: GatewayProcess): string {
  return code
    .replaceAll('ws://127.0.0.1:8080', wsUrl)
    .replaceAll(/tcp:\/\/127\.0\.0\.1:900[12]/g, tcpUrl)
    .replaceAll('./client/', new URL('.', import.meta.url).href)
}

async function run(file: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const child = spawn(file, args, {
    cwd: root,
    env: { ...process.env, ...env },
    timeout: DEADLINE_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  assert.equal(code, 0, stderr)
  return stdout
}

async function runModule(user: string, name: string, code: string): Promise<string> {
  const file = join(directory, name)
  await writeFile(file, code)
  return run(process.execPath, [file], { IM_TOKEN: `1:${user}` })
}

/** Lines in any order, without what differs in each run. */
function mask(output: string): string[] {
  return output
    .replaceAll(/"sentAt":\d+/g, '')
    .trim()
    .split('\n')
    .toSorted()
}

test('the commands of the guide print what it says', async () => {
  const gateway = await start({ IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: SECRET })
  const printed = await run('bash', ['-ec', adapt(snippet('sh', 'im listen'), gateway)])
  // The two commands run side by side, so either may print first.
  assert.deepEqual(mask(printed), mask(snippet('', '"stream"')))
})

test('the first commands of README.md bring a message from alice to bob', async () => {
  const gateway = await start({ IM_AUTH_MODE: 'secret', IM_AUTH_SECRET: SECRET })
  const { sh = [] } = await readSnippets('README.md')
  const [listen, send] = ['im listen', 'im send'].map((words) => sh.find((code) => code.includes(words))?.trimEnd())
  const printed = await run('bash', ['-ec', adapt(`${listen} --count 1 --timeout 20s &\n${send}\nwait $!`, gateway)])
  assert.deepEqual(mask(printed), ['1', '{"stream":"inbox","seq":1,"from":"alice","payload":"hello",}'])
})

test('the programs of the guide do what it says', async () => {
  const gateway = await start({})
  const first = adapt(snippet('ts', "on('message'"), gateway)
  assert.equal(await runModule('alice', 'first.ts', first), 'accepted as 1\n')

  const connecting = first.slice(0, first.indexOf('client.on('))
  const bob = connecting.replace('laptop-1', 'phone-1')
  const received = runModule('bob', 'loop.ts', bob + adapt(snippet('ts', 'for await'), gateway))
  const sending = `${connecting}${snippet('ts', 'order-17')}\nawait client.send('bob', 'bye')\nconsole.log(messageId.length, seq, sentAt > 0, duplicate)`
  assert.equal(await runModule('alice', 'send.ts', sending), '32 2 true false\n')
  // The transient one only came when bob was online already.
  assert.equal((await received).replace('0 is typing\n', ''), '1 hello\n2 hello\n3 \u0001\u0002\u0003\n4 bye\n')
})
