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
import { runWorks } from './run-works.ts'
import { works } from './works/works.ts'

interface Options {
  readonly only?: readonly string[]
  readonly peers?: readonly PeerName[]
  readonly rounds: number
  readonly gateway: string
  readonly out: string
  readonly percent: number
  readonly fault?: Fault
}

const here = fileURLToPath(new URL('..', import.meta.url))
const results = fileURLToPath(new URL('results', import.meta.url))

/** The command line of the bench; `print` gets what it has to say. */
export function buildProgram(print: (line: string) => void): Command {
  return new Command('npm run bench --')
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
  const { only, peers, rounds, gateway, out, percent, fault } = options
  const [version] = findVersions(gateway, undefined)
  await runWorks({
    works: works.filter(({ name }) => only?.includes(name) ?? true),
    peers,
    rounds,
    root: version?.folder ?? gateway,
    scale: percent / 100,
    out,
    command: `npm run bench -- --only ${only?.length === 1 ? only[0] : '<work>'} --rounds ${rounds}`,
    fault,
    print,
  })
  print('lost, doubled, out of order: none')
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
