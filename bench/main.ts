// npm run bench: what the product costs, measured from outside.
import { Command } from 'commander'
import { onInterrupt } from '../dev/interrupt.ts'
import { provideServers } from '../test/kit/servers/server-binary.ts'
import { buildAppendCommand } from './append.ts'
import { checkPlatform } from './cpu.ts'
import { buildMessageCommand } from './message.ts'

/** The janitor of dev/, which outlives this process, ends what it has started and removes its files. */
onInterrupt(() => process.exit(130))

const print = (line: string) => console.log(line)
const program = new Command('npm run bench --')
  .description(
    'Measures what the product costs on this machine. Absolute values depend on the machine and on what else runs on it: ' +
      'compare two checkouts in one run, with --vs.',
  )
  .addHelpText(
    'after',
    `
Before and after, with the former release beside this checkout:
  $ git worktree add ../former <commit> && (cd ../former && npm ci)
  $ npm run bench -- message --vs ../former
The line to read is "ratio A / B", the median of what neighbours in time gave, with its quartiles below: where 1 lies between
them, no difference was found.
Everything listens on 127.0.0.1 only, and nothing is kept when it ends.`,
  )
  .addCommand(buildMessageCommand(print))
  .addCommand(buildAppendCommand(print))
  .hook('preAction', async () => {
    checkPlatform()
    await provideServers(console.error)
  })

try {
  await program.parseAsync()
  process.exit(0)
} catch (error) {
  console.error(explain(error))
  process.exit(1)
}

/** The message; of an error and another one while cleaning up after it, that of the first. */
function explain(error: unknown): string {
  if (error instanceof SuppressedError) return explain(error.suppressed)
  return error instanceof Error ? error.message : String(error)
}
