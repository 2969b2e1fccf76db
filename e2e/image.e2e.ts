import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { connect } from '../client/index.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { findBlock, readBlocks, version } from './support/documents.ts'
import { gatewayImage } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { runShell } from './support/shell.ts'

/** What docs/operations.md says, on top of the base image, with some room. */
const MAX_OWN_BYTES = 45_000_000
const DRAIN_MS = 5_000
const STOP_SECONDS = 20

const docker = (...args: readonly string[]) => run('docker', args)
const network = `im-image-${randomBytes(4).toString('hex')}`
const baseImage = /^FROM (\S+)$/m.exec(readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8'))?.[1] ?? ''

/** A preloaded module that prints the address of every module that is loaded. */
const tracer = `import { registerHooks } from 'node:module'
registerHooks({ load: (url, context, next) => (process.stderr.write('loads ' + url + '\\n'), next(url, context)) })`
const traceLoads = ['--env', `NODE_OPTIONS=--import=data:text/javascript,${encodeURIComponent(tracer)}`]
const locked = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', `--network=${network}`]

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

  test('adds little to its base, and runs as nobody in particular', async (t) => {
    const [size, base] = await Promise.all([gatewayImage, baseImage].map((image) => readImage<number>(image, '.Size')))
    const own = (size ?? 0) - (base ?? 0)
    t.diagnostic(`${(own / 1e6).toFixed(1)} MB on top of ${baseImage}, ${((size ?? 0) / 1e6).toFixed(0)} MB in all`)
    assert.ok(own < MAX_OWN_BYTES)
    assert.match(await readImage<string>(gatewayImage, '.Config.User'), /^[1-9]\d*:[1-9]\d*$/)
  })

  test('has what runs, and nothing of tests', async () => {
    const areas = ['client', 'controller', 'gateway', 'node_modules', 'operator', 'protocol', 'server', 'session']
    const found = (await runOnce('ls', '/app')).trim().split('\n')
    assert.deepEqual(
      found,
      ['LICENSE', ...areas, 'package.json'].toSorted((a, b) => (a < b ? -1 : 1)),
    )
    const files = (await runOnce('find', '/app', '-type', 'f')).trim().split('\n')
    assert.deepEqual(
      files.filter((file) => !file.includes('/node_modules/') && /\.(test|e2e)\.ts$|\/test-|\.md$/.test(file)),
      [],
    )
    const types = files.filter((file) => file.includes('/node_modules/') && /\.[mc]?ts$/.test(file))
    assert.deepEqual(types, [])
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
    }
    assert.equal(fatal.level, 60)
    assert.match(fatal.msg, /IM_AUTH_SECRET must have at least 32 bytes/)
  })

  test('a gateway runs with a read-only root and without capabilities, and as process 1 drains on SIGTERM', async (t) => {
    const settings = {
      IM_BROKER_ID: 'gw',
      IM_REDIS_URL: 'redis://redis:6379',
      IM_NATS_SERVERS: 'nats://nats:4222',
      IM_AUTH_MODE: 'none',
      IM_DRAIN_DEADLINE_MS: String(DRAIN_MS),
    }
    const env = Object.entries(settings).flatMap(([name, value]) => ['--env', `${name}=${value}`])
    const container = await start(
      'gateway',
      ...locked,
      '--publish=127.0.0.1::9000',
      ...traceLoads,
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
    assert.match(await docker('exec', container, 'cat', '/proc/1/cmdline'), /^node\0gateway\/main\.ts\0$/)

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

    assert.match(logs, /^loads file:\/\/\/app\/gateway\/gateway\.ts$/m, 'the modules are traced')
    assert.match(logs, /^loads file:\/\/\/app\/node_modules\/ioredis\//m, 'those of packages, too')
    assert.doesNotMatch(logs, /^loads .*@kubernetes\/client-node/m)
  })

  test('the operator loads the client of Kubernetes, as the gateway does not', async () => {
    const container = await start('operator', ...locked, ...traceLoads, gatewayImage, 'node', 'operator/main.ts')
    await docker('wait', container)
    await waitFor('its log', 10_000, async () => (await logsOf(container)).includes('"level":60'))
    assert.match(await logsOf(container), /^loads file:\/\/\/app\/node_modules\/@kubernetes\/client-node\//m)
  })
})

async function readState(container: string): Promise<{ exit: number; oom: boolean }> {
  const format = '{"exit":{{.State.ExitCode}},"oom":{{.State.OOMKilled}}}'
  return JSON.parse(await docker('inspect', '--format', format, container)) as { exit: number; oom: boolean }
}
