// npm start: a development cluster on this machine, until Ctrl-C.
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { startCluster, type Cluster } from './cluster.ts'
import { buildClusterPorts, checkPorts } from './cluster-ports.ts'
import { onInterrupt } from './interrupt.ts'
import { proveDelivery } from './delivery-proof.ts'
import { provideServers } from '../test/kit/servers/server-binary.ts'
import { signToken } from '../test/kit/token.ts'

const help = `Usage: npm start -- [options]

Runs Redis, NATS and the gateways gw-0, gw-1 and gw-2 as processes of this machine until Ctrl-C.
Everything listens on 127.0.0.1 only, and nothing is kept when it ends.

Options:
  --base-port <n>  use the ports n (Redis), n+1 (NATS), n+10 to n+12 (TCP), n+20 to n+22 (WebSocket) and n+30 to n+32
                   (health, metrics) instead of 16379, 14222, 9000 to 9002, 8080 to 8082 and 9100 to 9102
  --verbose        show what the gateways log (they log to files in any case)
  --help           show this

Settings of the gateways, like IM_LOG_LEVEL=debug, are taken from the environment.`

/** No secret: it is in the repository, so that a token of one run is still good in the next. */
const AUTH_SECRET = 'for development only: everybody knows this secret'
const APP = 1
const MAX_BASE_PORT = 65_535 - 32
const LOGGED_ERROR = 50

/** Settings of the `im` command, which a developer may have in the environment, and a gateway would refuse. */
const settingsOfIm = ['IM_URL', 'IM_TOKEN']

function buildGatewayEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  const given = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[0].startsWith('IM_') && !settingsOfIm.includes(entry[0]),
  )
  return {
    IM_DRAIN_DEADLINE_MS: '3000',
    IM_DRAIN_JITTER_MS: '500',
    ...Object.fromEntries(given),
    IM_AUTH_MODE: 'secret',
    IM_AUTH_SECRET: AUTH_SECRET,
  }
}

function parseBasePort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > MAX_BASE_PORT) {
    throw new Error(`--base-port must be a number from 1 to ${MAX_BASE_PORT}`)
  }
  return port
}

function buildTable({ gateways, redis, nats, logDirectory }: Cluster): string {
  const rows = [
    ['gateway', 'TCP', 'WebSocket', 'health, metrics'],
    ...gateways.map(({ brokerId, tcpUrl, wsUrl, adminUrl }) => [brokerId, tcpUrl, wsUrl, adminUrl]),
  ]
  const table = rows.map((row) =>
    row
      .map((cell) => cell.padEnd(24))
      .join('')
      .trimEnd(),
  )
  return [...table, '', `Redis ${redis.url}, NATS ${nats.url}, logs in ${logDirectory}`].join('\n')
}

async function buildExamples({ gateways }: Cluster): Promise<string> {
  const [alice, bob] = await Promise.all([signToken(AUTH_SECRET, APP, 'alice'), signToken(AUTH_SECRET, APP, 'bob')])
  return [
    'Listen as bob in a second terminal:\n',
    `npx im listen --url ${gateways.at(-1)?.tcpUrl} --token ${bob}\n`,
    'and send as alice in a third:\n',
    `npx im send --url ${gateways[0]?.wsUrl} --token ${alice} --to bob "hello"\n`,
    'A token for anybody else (npx im --help shows what more there is):\n',
    `npx im token --secret '${AUTH_SECRET}' --app ${APP} --user carol\n`,
  ].join('\n')
}

async function prove({ gateways }: Cluster, signal: AbortSignal): Promise<string> {
  const [first, last] = [gateways[0], gateways.at(-1)]
  if (!first || !last) throw new Error('there is no gateway')
  const [ada, ben] = await Promise.all([signToken(AUTH_SECRET, APP, 'ada'), signToken(AUTH_SECRET, APP, 'ben')])
  return proveDelivery(
    { userId: 'ada', token: ada, url: first.wsUrl, clientType: 'web' },
    { userId: 'ben', token: ben, url: last.tcpUrl, clientType: 'android' },
    signal,
  )
}

function showLine(brokerId: string, line: string, verbose: boolean): void {
  if (verbose) return console.log(line)
  const level = /"level":(\d+)/.exec(line)?.[1]
  // What is no log line comes from Node itself, and is worth seeing.
  if (level === undefined || Number(level) >= LOGGED_ERROR) console.log(`${brokerId}: ${line}`)
}

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'base-port': { type: 'string' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return console.log(help)
  const ports = buildClusterPorts(parseBasePort(values['base-port']))

  const stop = new AbortController()
  let started = false
  onInterrupt((_signal, times) => {
    // Until all is up there is nothing to drain. What runs is ended by the janitor, which outlives this process.
    if (!started || times > 1) process.exit(130)
    console.log('\nStopping … (Ctrl-C again to stop at once)')
    stop.abort()
  })
  // Whoever read the output is gone, as after `npm start | head`.
  process.stdout.on('error', () => stop.abort())

  await provideServers(console.error)
  await checkPorts(ports)
  console.log('Starting Redis, NATS and three gateways …')
  await using cluster = await startCluster({
    ports,
    env: buildGatewayEnv(process.env),
    onLine: (brokerId, line) => showLine(brokerId, line, values.verbose),
  })
  started = true
  const broken = cluster.broken.then((what) => {
    throw new Error(what)
  })
  try {
    await Promise.race([broken, present(cluster, stop.signal)])
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    stop.abort()
  }
}

/** Prints what there is and that it works, and stays until the signal. */
async function present(cluster: Cluster, signal: AbortSignal): Promise<void> {
  console.log(`\n${buildTable(cluster)}\n`)
  const proof = await prove(cluster, signal).catch((error: unknown) => {
    throw new Error(`The proof failed: ${explain(error)}`, { cause: error })
  })
  console.log(`Proof: ${proof}\n`)
  console.log(await buildExamples(cluster))
  console.log('Ctrl-C stops everything.')
  if (!signal.aborted) await once(signal, 'abort')
}

/** The message; of an error and another one while cleaning up after it, that of the first. */
function explain(error: unknown): string {
  if (error instanceof SuppressedError) return explain(error.suppressed)
  return error instanceof Error ? error.message : String(error)
}

try {
  await run()
  process.exit(0)
} catch (error) {
  console.error(explain(error))
  process.exit(1)
}
