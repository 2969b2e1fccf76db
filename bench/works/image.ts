import { execFile } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startNats } from '../../test/kit/servers/nats-server.ts'
import { findFreePorts } from '../../test/kit/servers/free-port.ts'
import { guard } from '../../test/kit/servers/janitor.ts'
import { startRedis } from '../../test/kit/servers/redis-server.ts'
import { until } from '../../test/kit/wait.ts'
import { readCpu } from '../measure/cpu.ts'
import { readRss } from '../measure/memory.ts'
import type { Work, WorkContext } from './work.ts'

const IMAGE = 'im-cluster:bench'
const BUILD_DEADLINE_MS = 10 * 60_000
const COMMAND_DEADLINE_MS = 60_000
const REST_MS = 5000

export const image: Work = {
  name: 'image',
  title: 'The image: start and memory',
  description:
    'The image is built with docker, and a gateway of it is started beside a Redis and a NATS. Time is from the start of the ' +
    'container, as docker tells it, until /readyz answers 200; CPU time is what the process has used by then; memory is 5 s later.',
  peers: ['im'],
  columns: {
    seconds: { title: 'start to ready, s', decimals: 2 },
    cpuSeconds: { title: 'CPU to ready, s', decimals: 2 },
    restMb: { title: 'RSS at rest, MB', decimals: 0 },
    imageMb: { title: 'image, MB', decimals: 0 },
  },
  plots: [],
  estimateSeconds: (_, rounds) => 40 + rounds * 10,
  async lacks() {
    const isThere = await docker('version', '--format', '{{.Server.Version}}').then(Boolean, () => false)
    return isThere
      ? undefined
      : 'it needs Docker; install it (docs.docker.com/engine/install), and see that "docker version" works'
  },
  run: runImage,
}

async function runImage(context: WorkContext): Promise<void> {
  context.step('docker build')
  await docker('build', '--quiet', '--tag', IMAGE, context.root)
  const imageMb = Number(await docker('image', 'inspect', '--format', '{{.Size}}', IMAGE)) / 1e6
  await using redis = await startRedis({ persistent: false })
  await using nats = await startNats()
  for (let round = 1; round <= context.rounds; round++) {
    context.step(`round ${round} of ${context.rounds}: start`)
    const figures = await startOnce(`im-bench-${process.pid}-${round}`, redis.url, nats.url)
    context.record('im', { ...figures, imageMb })
  }
}

async function startOnce(name: string, redisUrl: string, natsUrl: string): Promise<Record<string, number>> {
  const [tcp = 0, ws = 0, admin = 0] = await findFreePorts(3)
  const settings = {
    // One of its own: the lease of the one before, which was killed, has not run out.
    IM_BROKER_ID: name,
    IM_REDIS_URL: redisUrl,
    IM_NATS_SERVERS: natsUrl,
    IM_AUTH_MODE: 'none',
    IM_TCP_PORT: tcp,
    IM_WS_PORT: ws,
    IM_ADMIN_PORT: admin,
  }
  const env = Object.entries(settings).flatMap(([key, value]) => ['--env', `${key}=${value}`])
  const release = guard('container', name)
  try {
    await docker('run', '--detach', '--network', 'host', '--name', name, ...env, IMAGE)
    const isReady = async () => (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok
    await until('a gateway of the image is ready', isReady)
    const readyAt = Date.now()
    const state = await docker('inspect', '--format', '{{.State.Pid}} {{.State.StartedAt}}', name)
    const [word, startedAt = ''] = state.split(' ')
    const pid = Number(word)
    const cpuSeconds = readCpu(pid) / 1e6
    await delay(REST_MS)
    return { seconds: (readyAt - Date.parse(startedAt)) / 1000, cpuSeconds, restMb: readRss(pid) / 2 ** 20 }
  } finally {
    await docker('rm', '--force', name)
    release()
  }
}

/** What a command of docker prints. */
async function docker(...args: string[]): Promise<string> {
  const timeout = args[0] === 'build' ? BUILD_DEADLINE_MS : COMMAND_DEADLINE_MS
  const { stdout } = await promisify(execFile)('docker', args, { timeout })
  return stdout.trim()
}
