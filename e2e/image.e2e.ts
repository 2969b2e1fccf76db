import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { connect } from '../client/index.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { findBlock, readBlocks, version } from './support/documents.ts'
import { gatewayImage } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { listFiles } from './support/image-files.ts'
import { runShell } from './support/shell.ts'

/** What docs/operations.md says of what is ours, with the licences of what is bundled, and of a gateway at rest. */
const MAX_OWN_BYTES = 6_000_000
const MAX_REST_BYTES = 95_000_000
const DRAIN_MS = 5_000
const STOP_SECONDS = 20

const docker = (...args: readonly string[]) => run('docker', args)
const network = `im-image-${randomBytes(4).toString('hex')}`
const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const baseImage = /^FROM (\S+) AS base$/m.exec(read('Dockerfile'))?.[1] ?? ''
/** What a command may name, in any release. */
const mains = ['gateway/main.ts', 'operator/main.ts', 'client/cli/main.ts']

/** A preloaded module that prints the address of every module that is loaded. */
const tracer = `import { registerHooks } from 'node:module'
registerHooks({ load: (url, context, next) => (process.stderr.write('loads ' + url + '\\n'), next(url, context)) })`
/** A preloaded module by which the first line of a gateway fails. */
const crasher = `globalThis.AbortController = class { constructor() { throw new Error('as a test wants it') } }`
const preload = (module: string) => [
  '--env',
  `NODE_OPTIONS=--import=data:text/javascript,${encodeURIComponent(module)}`,
]
const locked = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', `--network=${network}`]

const settings = {
  IM_BROKER_ID: 'gw',
  IM_REDIS_URL: 'redis://redis:6379',
  IM_NATS_SERVERS: 'nats://nats:4222',
  IM_AUTH_MODE: 'none',
  IM_DRAIN_DEADLINE_MS: String(DRAIN_MS),
}

async function start(name: string, ...args: readonly string[]): Promise<string> {
  const container = `${network}-${name}`
  await docker('run', '--detach', '--name', container, '--network-alias', name, ...args)
  return container
}

/** Runs a command in the image to its end, with what it printed. */
const runOnce = (...command: readonly string[]) => docker('run', '--rm', '--network=none', gatewayImage, ...command)

async function logsOf(container: string): Promise<string> {
  return runShell(`docker logs ${container} 2>&1`, 60_000)
}

async function readImage<T>(image: string, path: string): Promise<T> {
  return JSON.parse(await docker('image', 'inspect', '--format', `{{json ${path}}}`, image)) as T
}

describe('the image', () => {
  before(async () => {
    await docker('network', 'create', network)
    await start('redis', `--network=${network}`, 'redis:7.0.15-bookworm', 'redis-server', '--protected-mode', 'no')
    await start('nats', `--network=${network}`, 'nats:2.15.2', '--addr', '0.0.0.0')
  })
  after(async () => {
    const ours = (await docker('ps', '--all', '--quiet', '--filter', `network=${network}`)).split(/\s+/).filter(Boolean)
    await docker('rm', '--force', '--volumes', ...ours)
    await docker('network', 'rm', network)
  })

  test('is Node and little else, and runs as nobody in particular', async (t) => {
    const files = await listFiles(gatewayImage)
    const ours = files.filter(({ path }) => /^(app|licenses)\//.test(path))
    const own = ours.reduce((sum, { bytes }) => sum + bytes, 0)
    const [size = 0, base = 0] = await Promise.all(
      [gatewayImage, baseImage].map((image) => readImage<number>(image, '.Size')),
    )
    const inMegabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
    t.diagnostic(`${inMegabytes(own)} MB of ours, ${inMegabytes(size)} in all; ${baseImage} has ${inMegabytes(base)}`)
    assert.ok(own < MAX_OWN_BYTES)
    assert.ok(size < base)
    assert.match(await readImage<string>(gatewayImage, '.Config.User'), /^[1-9]\d*:[1-9]\d*$/)
    const programs = files.filter(({ path, executable }) => executable && /(^|\/)s?bin\//.test(path))
    assert.deepEqual(
      programs.map(({ path }) => path),
      ['usr/local/bin/node'],
      'no shell, no npm',
    )
  })

  test('has what runs, and nothing of tests', async () => {
    const files = (await listFiles(gatewayImage)).map(({ path }) => path).filter((path) => path.startsWith('app/'))
    const known = ['LICENSE', 'bundle/', 'package.json', ...mains, ...mains.map((main) => main.replace('.ts', '.js'))]
    const isKnown = (path: string) =>
      known.some((it) => path === `app/${it}` || (it.endsWith('/') && path.startsWith(`app/${it}`)))
    assert.deepEqual(
      files.filter((path) => !isKnown(path)),
      [],
    )
    for (const main of mains) assert.ok(files.includes(`app/${main}`), main)
    assert.deepEqual(
      files.filter((path) => path.startsWith('app/bundle/') && !/\.(js|js\.map|lua)$/.test(path)),
      [],
    )
  })

  test('has the licence and the version of all that is bundled', async () => {
    const files = (await listFiles(gatewayImage)).map(({ path }) => path)
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
    const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version: string }> }
    for (const name of Object.keys(dependencies)) {
      const folder = `licenses/${name}@${packages[`node_modules/${name}`]?.version}/`
      assert.ok(files.includes(`${folder}package.json`), folder)
      assert.ok(
        files.some((path) => path.startsWith(folder) && /licen[cs]e[^/]*$/i.test(path)),
        folder,
      )
    }
    // Of the libraries that Node is linked with, where Debian has them.
    assert.ok(files.some((path) => /^usr\/share\/doc\/libc6\/copyright$/.test(path)))
    assert.ok(files.some((path) => /^var\/lib\/dpkg\/status\.d\/libc6$/.test(path)))
  })

  test('built as docs/operations.md says, it tells what it is and from where', async () => {
    const block = findBlock(readBlocks('docs/operations.md', 'Install'), 'docker build')
    await runShell(block, 600_000)
    const [, tag = ''] = /--tag (\S+)/.exec(block) ?? []
    assert.equal(tag, `registry.example/im-cluster:${version}`)
    const labels = await readImage<Record<string, string>>(tag, '.Config.Labels')
    await docker('image', 'rm', tag)
    const label = (name: string) => labels[`org.opencontainers.image.${name}`]
    assert.deepEqual(['title', 'version', 'licenses', 'base.name', 'revision'].map(label), [
      'im-cluster',
      version,
      'Apache-2.0',
      `docker.io/library/${baseImage}`,
      (await run('git', ['rev-parse', 'HEAD'])).trim(),
    ])
    assert.match(label('description') ?? '', /gateway/)
    assert.ok(Date.now() - Date.parse(label('created') ?? '') < 600_000)
  })

  test('a gateway that cannot start says why in its last line, and what to change', async () => {
    const container = await start('wrong', ...locked, '--env=IM_AUTH_SECRET=short', gatewayImage)
    assert.equal((await docker('wait', container)).trim(), '1')
    const fatal = JSON.parse((await logsOf(container)).trim().split('\n').at(-1) ?? '') as {
      level: number
      msg: string
      err: { stack: string }
    }
    assert.equal(fatal.level, 60)
    assert.match(fatal.msg, /IM_AUTH_SECRET must have at least 32 bytes/)
    assertNamesTypeScript(fatal.err.stack)
  })

  test('what nobody caught names the lines of the TypeScript, too', async () => {
    const container = await start('crashed', ...locked, ...preload(crasher), gatewayImage)
    assert.equal((await docker('wait', container)).trim(), '1')
    const logs = await logsOf(container)
    assert.match(logs, /as a test wants it/)
    assertNamesTypeScript(logs)
    assert.ok(
      logs.split('\n').every((line) => line.length < 1_000),
      'what is read from a pod that crashed has no bundle in it',
    )
  })

  test('the client runs by the command that pods name', async () => {
    const token = await runOnce('node', 'client/cli/main.ts', 'token', '--secret', 'x'.repeat(32), '--user', 'bob')
    assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  })

  test('a gateway runs with a read-only root and without capabilities, and as process 1 drains on SIGTERM', async (t) => {
    const env = Object.entries(settings).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    const container = await start(
      'gateway',
      ...locked,
      '--publish=127.0.0.1::9000',
      ...preload(tracer),
      ...env,
      gatewayImage,
    )
    const [, port = ''] = /:(\d+)$/m.exec(await docker('port', container, '9000')) ?? []
    const open = (userId: string) =>
      connect({ urls: `tcp://127.0.0.1:${port}`, token: `1:${userId}`, device: { clientType: 'web', imei: 'e2e' } })
    await using alice = open('alice')
    await using bob = open('bob')
    const received = new Promise<string>((resolve) => {
      bob.on('message', (message) => resolve(message.text()))
    })
    await alice.send('bob', 'hello', { timeoutMs: 60_000 })
    assert.equal(await received, 'hello')
    const cmdline = await runInside(container, `readFileSync('/proc/1/cmdline', 'utf8')`)
    assert.match(cmdline, /^node\0gateway\/main\.ts\0$/)

    const lost = new Promise<string>((resolve) => {
      bob.on('disconnected', ({ code }) => resolve(code))
    })
    const started = performance.now()
    await docker('stop', '-t', String(STOP_SECONDS), container)
    const tookMs = performance.now() - started
    t.diagnostic(`ended ${(tookMs / 1000).toFixed(1)} s after SIGTERM, with clients that had nowhere to go`)
    assert.ok(tookMs < STOP_SECONDS * 1000)
    assert.deepEqual(await readState(container), { exit: 0, oom: false })
    assert.equal(await lost, 'going_away')
    const logs = await logsOf(container)
    assert.match(logs.trim().split('\n').at(-1) ?? '', /"msg":"drained"/)

    const sources = await readSources(logs)
    assert.ok(sources.includes('../gateway/gateway.ts'))
    assert.ok(sources.some((it) => it.startsWith('../node_modules/ioredis/')))
    assert.deepEqual(
      sources.filter((it) => /client-node|^\.\.\/(operator|controller)\//.test(it)),
      [],
    )
  })

  test('the operator loads the client of Kubernetes, as the gateway does not', async () => {
    const container = await start('operator', ...locked, ...preload(tracer), gatewayImage, 'node', 'operator/main.ts')
    await docker('wait', container)
    await waitFor('its log', 10_000, async () => (await logsOf(container)).includes('"level":60'))
    const logs = await logsOf(container)
    const sources = await readSources(logs)
    assert.ok(sources.some((it) => it.startsWith('../node_modules/@kubernetes/client-node/')))
    assertNamesTypeScript(logs)
  })

  test('a gateway is soon ready, and takes little memory at rest', async (t) => {
    const env = Object.entries(settings).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    const started = performance.now()
    const container = await start('resting', ...locked, ...env, '--env=IM_BROKER_ID=resting', gatewayImage)
    await waitFor('the gateway', 60_000, async () =>
      (await logsOf(container)).includes('"msg":"ready for connections"'),
    )
    const readyMs = performance.now() - started
    const stat = await runInside(container, `readFileSync('/proc/1/stat', 'utf8')`)
    const [user = 0, system = 0] = stat.split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? []
    t.diagnostic(`ready ${(readyMs / 1000).toFixed(1)} s after docker run, for ${(user + system) * 10} ms of CPU`)
    const readMemory = async () => {
      const status = await runInside(container, `readFileSync('/proc/1/status', 'utf8')`)
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
    }
    // What the start left is collected when V8 finds the time.
    const bytes = await waitFor('the memory of the start to be given back', 60_000, async () => {
      const now = await readMemory()
      return now <= MAX_REST_BYTES ? now : undefined
    })
    t.diagnostic(`${(bytes / 1e6).toFixed(0)} MB at rest`)
  })
})

/** The sources of the bundles that a traced process loaded. */
async function readSources(logs: string): Promise<string[]> {
  const bundles = [...logs.matchAll(/^loads file:\/\/(\/app\/bundle\/\S+)$/gm)].map(([, path = '']) => path)
  assert.notEqual(bundles.length, 0, 'the modules are traced')
  const script = `[${bundles.map((it) => `'${it}'`).join()}].flatMap((it) => JSON.parse(readFileSync(it + '.map')).sources)`
  return JSON.parse(
    await runOnce('node', '-p', `const { readFileSync } = require('fs'); JSON.stringify(${script})`),
  ) as string[]
}

/** What an expression gives within a container, of which Node is all that runs there. */
async function runInside(container: string, expression: string): Promise<string> {
  const script = `process.stdout.write(require('fs').${expression})`
  return docker('exec', '--env=NODE_OPTIONS=', container, 'node', '-e', script)
}

/** Each frame of ours names a line of a file of the repository that has the word by which it was left: a call, or the error. */
function assertNamesTypeScript(text: string): void {
  const frames = [
    ...text.matchAll(
      /\(?(?:file:\/\/)?\/app\/((?:gateway|operator|controller|session|server)\/[\w/-]+\.ts):(\d+):(\d+)/g,
    ),
  ]
  assert.ok(frames.length > 0, text)
  for (const [frame, file = '', line, column] of frames) {
    const source = read(file).split('\n')[Number(line) - 1]
    assert.match(source?.slice(Number(column) - 1) ?? '', /^(await )?(new )?[\w.#]+\(/, `${frame} is ${source}`)
  }
}

async function readState(container: string): Promise<{ exit: number; oom: boolean }> {
  const format = '{"exit":{{.State.ExitCode}},"oom":{{.State.OOMKilled}}}'
  return JSON.parse(await docker('inspect', '--format', format, container)) as { exit: number; oom: boolean }
}
