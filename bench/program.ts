import { Command, InvalidArgumentError, Option } from 'commander'
import { fileURLToPath } from 'node:url'
import { provideServers } from '../test/kit/servers/server-binary.ts'
import { buildIntegerOption } from './command-options.ts'
import { buildAppendCommand } from './compare/append.ts'
import { buildMessageCommand } from './compare/message.ts'
import { findVersions } from './compare/rounds.ts'
import { checkPlatform } from './measure/cpu.ts'
import { faults, type Fault } from './peers/floor-options.ts'
import { peerNames, peers, type PeerName } from './peers/peers.ts'
import { writePerformancePages } from './report/performance-page.ts'
import { runWorks } from './run-works.ts'
import { runQuick } from './quick/run-quick.ts'
import { works } from './works/works.ts'

interface Options {
  readonly only?: readonly string[]
  readonly peers?: readonly PeerName[]
  readonly rounds: number
  readonly gateway: string
  readonly out: string
  readonly percent: number
  readonly fault?: Fault
  readonly quick?: true
  readonly write?: true
  readonly table?: true
}

const here = fileURLToPath(new URL('..', import.meta.url))
const results = fileURLToPath(new URL('results', import.meta.url))

/** The command line of the bench; `print` gets what it has to say. */
export function buildProgram(print: (line: string) => void): Command {
  return new Command('npm run bench --')
    .enablePositionalOptions()
    .description(
      'Measures what the product costs on this machine, beside others that do the same work, and writes tables and pictures. ' +
        'Absolute values depend on the machine and on what else runs on it; what neighbours in one run have cost can be compared.',
    )
    .addOption(
      new Option('--only <works>', 'these works, separated by commas').argParser(
        parseList(works.map(({ name }) => name)),
      ),
    )
    .addOption(new Option('--peers <names>', 'these peers, separated by commas').argParser(parseList(peerNames)))
    .addOption(buildIntegerOption('--rounds <n>', 'how often each peer is measured', 3, [1, 100]))
    .addOption(new Option('--gateway <folder>', 'the checkout whose product is measured').default(here, 'this one'))
    .addOption(new Option('--out <folder>', 'where the results go').default(results, 'bench/results'))
    .addOption(buildIntegerOption('--percent <n>', 'of the usual time and load, for a short look', 100, [1, 1000]))
    .option(
      '--quick',
      'two minutes: ratios to the floor against bench/baseline.json; ends with code 1 when one has doubled',
    )
    .option('--write', 'with --quick: writes bench/baseline.json anew')
    .option(
      '--table',
      'measures nothing: writes the tables of docs/performance.md and README.md anew, from bench/results',
    )
    .addOption(new Option('--fault <kind>', 'what the floor does wrong, for tests').choices(faults).hideHelp())
    .addHelpText('after', buildHelp)
    .action((options: Options) => run(options, print))
    .addCommand(buildMessageCommand(print))
    .addCommand(buildAppendCommand(print))
    .hook('preAction', async () => {
      checkPlatform()
      await provideServers(console.error)
    })
}

async function run(options: Options, print: (line: string) => void): Promise<void> {
  if (options.table) return await writePerformancePages()
  const { only, peers, rounds, gateway, out, percent, fault } = options
  const root = findVersions(gateway, undefined)[0]?.folder ?? gateway
  if (options.quick) {
    process.exitCode = (await runQuick({ rounds, root, fault, print, write: options.write ?? false })) > 0 ? 1 : 0
    return
  }
  await runWorks({
    plan: buildPlan(only, peers),
    rounds,
    root,
    scale: percent / 100,
    out,
    command: `npm run bench -- --rounds ${rounds}${percent === 100 ? '' : ` --percent ${percent}`} --only`,
    fault,
    print,
  })
  print('lost, doubled, out of order: none')
}

/** The works that are asked for with their peers; without those that have none of the peers. */
function buildPlan(only: readonly string[] | undefined, wanted: readonly PeerName[] | undefined) {
  const plan = works
    .filter(({ name }) => only?.includes(name) ?? true)
    .map((work) => ({ work, peers: work.peers.filter((peer) => wanted?.includes(peer) ?? true) }))
  const chosen = plan.filter(({ peers }) => peers.length > 0)
  if (chosen.length > 0) return chosen
  const known = plan.map(({ work }) => `${work.name} has ${work.peers.join(', ')}`)
  throw new Error(`none of these works has such a peer: ${known.join('; ')}`)
}

function parseList<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) =>
    text.split(',').map((word) => {
      const name = known.find((one) => one === word.trim())
      if (name === undefined) throw new InvalidArgumentError(`"${word}" is none of ${known.join(', ')}`)
      return name
    })
}

function buildHelp(): string {
  return `
Works:
${works.map(({ name, title }) => `  ${name.padEnd(14)} ${title}`).join('\n')}

Peers:
${peerNames.map((name) => `  ${name.padEnd(14)} ${peers[name].title}`).join('\n')}

Before and after, with the former release beside this checkout:
  $ git worktree add ../former <commit> && (cd ../former && npm ci)
  $ npm run bench -- message --vs ../former
The line to read is "ratio A / B", the median of what neighbours in time gave, with its quartiles below: where 1 lies between
them, no difference was found.
Everything listens on 127.0.0.1 only, and nothing but the results is kept when it ends.`
}
