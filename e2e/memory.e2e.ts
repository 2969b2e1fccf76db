import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { buildSend, connectTcp, type RawClient } from '../test/kit/raw-client.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { gatewayImage } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'

/** Swap would hide what is too much. */
const memory = ['--memory=256m', '--memory-swap=256m']
/** What the system buffers for a client that does not read is not the gateway's: it may be megabytes for each. */
const smallBuffers = ['--sysctl=net.ipv4.tcp_wmem=4096 16384 65536']
const payload = 'm'.repeat(60_000)
const DEADLINE_MS = 120_000

const docker = (...args: readonly string[]) => run('docker', args)
const network = `im-memory-${randomBytes(4).toString('hex')}`

interface Gateway {
  readonly container: string
  readonly url: string
  readonly adminUrl: string
}

async function start(name: string, ...args: readonly string[]): Promise<string> {
  const container = `${network}-${name}`
  await docker('run', '--detach', '--name', container, `--network=${network}`, '--network-alias', name, ...args)
  return container
}

async function startGateway(name: string): Promise<Gateway> {
  const settings = {
    IM_BROKER_ID: name,
    IM_REDIS_URL: 'redis://redis:6379',
    IM_NATS_SERVERS: 'nats://nats:4222',
    IM_AUTH_MODE: 'none',
    // So that Redis need not hold gigabytes.
    IM_INBOX_MAX_LENGTH: '200',
    IM_SLOW_CONSUMER_TIMEOUT_MS: '120000',
    IM_IDLE_TIMEOUT_MS: '120000',
  }
  const env = Object.entries(settings).flatMap(([key, value]) => ['--env', `${key}=${value}`])
  const container = await start(name, ...memory, ...smallBuffers, ...env, gatewayImage)
  const address = await docker(
    'inspect',
    '--format',
    '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
    container,
  )
  const adminUrl = `http://${address.trim()}:9090`
  await waitFor(`${name} to be ready`, 60_000, async () => {
    return await fetch(`${adminUrl}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
  })
  return { container, url: `tcp://${address.trim()}:9000`, adminUrl }
}

async function readMetric({ adminUrl }: Gateway, series: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return Number(line?.slice(series.length) ?? 0)
}

/** Logs clients in, some at a time, once the gateway takes new ones. */
async function open(gateway: Gateway, name: string, count: number): Promise<RawClient[]> {
  const { url } = gateway
  await waitFor('the end of pressure', 60_000, async () => (await readMetric(gateway, 'im_memory_pressure')) === 0)
  const clients: RawClient[] = []
  while (clients.length < count) {
    const some = Array.from({ length: Math.min(50, count - clients.length) }, async (_, index) => {
      const client = await connectTcp(url)
      await client.login({ token: `1:${name}-${clients.length + index}` })
      return client
    })
    clients.push(...(await Promise.all(some)))
  }
  return clients
}

const countOf = ({ unread }: RawClient, type: string) => unread.filter((frame) => frame.type === type).length

/** Sends to `<to>-<index>` all at once, again what is refused as "try again", and resolves when all is accepted. */
async function sendAll(senders: readonly RawClient[], to: string, each: number): Promise<void> {
  for (let round = 0; round < each; round++) {
    for (const [index, sender] of senders.entries()) {
      sender.send(buildSend(`${to}-${index}`, payload, { requestId: round + 1, messageId: `m-${round}` }))
    }
  }
  await waitFor('every send to be answered', DEADLINE_MS, async () =>
    Promise.resolve(senders.every((sender) => countOf(sender, 'accepted') + countOf(sender, 'error') >= each)),
  )
}

// By the containers' own addresses, since Docker's proxy for published ports buffers megabytes for each client, too.
const skip = process.platform === 'linux' ? false : 'only Linux reaches the addresses of containers'

describe('a gateway in a container of 256 MB', { skip }, () => {
  let gateways: Gateway[]

  before(async () => {
    await docker('network', 'create', network)
    const redis = ['redis:7.0.15-bookworm', 'redis-server', '--protected-mode', 'no', '--save', '']
    await Promise.all([start('redis', ...redis), start('nats', 'nats:2.15.2', '--addr', '0.0.0.0')])
    gateways = await Promise.all(['gw-0', 'gw-1'].map(startGateway))
  })
  after(async () => {
    const ours = (await docker('ps', '--all', '--quiet', '--filter', `network=${network}`)).split(/\s+/).filter(Boolean)
    await docker('rm', '--force', '--volumes', ...ours)
    await docker('network', 'rm', network)
  })

  const survived = async () => {
    for (const { container, adminUrl } of gateways) {
      const format = '{{.State.Running}} {{.State.OOMKilled}} {{.RestartCount}}'
      assert.equal((await docker('inspect', '--format', format, container)).trim(), 'true false 0')
      assert.equal((await fetch(`${adminUrl}/livez`)).status, 200)
    }
  }

  test('takes an eighth of it as its budget', async () => {
    for (const gateway of gateways) assert.equal(await readMetric(gateway, 'im_memory_budget_bytes'), 32 * 1_048_576)
  })

  test('survives a Redis that stands still while 200 clients send', async () => {
    const [gateway] = gateways
    assert.ok(gateway)
    const senders = await open(gateway, 'flood', 200)
    await docker('pause', `${network}-redis`)
    const sending = sendAll(senders, 'sink', 20)
    await delay(2_500)
    await docker('unpause', `${network}-redis`)
    await sending
    await survived()
    for (const sender of senders) sender.destroy()
  })

  test('survives a NATS that stands still, and nothing is lost', async () => {
    const [from, to] = gateways
    assert.ok(from && to)
    const readers = await open(to, 'reader', 20)
    const senders = await open(from, 'sender', 20)
    await docker('pause', `${network}-nats`)
    await sendAll(senders, 'reader', 150)
    await docker('unpause', `${network}-nats`)
    for (const [index, sender] of senders.entries()) {
      const accepted = countOf(sender, 'accepted')
      for (let seq = 1; seq <= accepted; seq++) assert.equal((await readers[index]?.next('message'))?.seq, seq)
    }
    await survived()
    for (const client of [...readers, ...senders]) client.destroy()
  })

  test('survives 1,000 clients that do not read', async (t) => {
    const [gateway] = gateways
    assert.ok(gateway)
    const slow = await open(gateway, 'slow', 1_000)
    for (const client of slow) client.pause()
    const [sender] = await open(gateway, 'busy', 1)
    assert.ok(sender)
    // The system buffers some for each; then the gateway does, until it has no room. Some more then.
    for (let more = 3, round = 0; more > 0 && round < 100; round++) {
      if ((await readMetric(gateway, 'im_memory_pressure')) === 1) more -= 1
      for (let index = 0; index < slow.length; index++) sender.send(buildSend(`slow-${index}`, payload))
      for (let index = 0; index < slow.length; index++) await sender.next('accepted')
    }
    assert.ok((await readMetric(gateway, 'im_left_to_inbox_total{by="delivery"}')) > 0)
    await survived()
    for (const client of slow) client.destroy()
    for (const { container } of gateways) {
      const used = await docker('stats', '--no-stream', '--format', '{{.MemUsage}}', container)
      t.diagnostic(`${container}: ${used.trim()} in the end`)
    }
  })
})
