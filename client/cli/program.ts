import { Command, CommanderError } from 'commander'
import { buildChatCommand } from './chat.ts'
import { describeError } from './errors.ts'
import type { Io } from './io.ts'
import { buildListenCommand } from './listen.ts'
import { buildPresenceCommand } from './presence.ts'
import { buildSendCommand } from './send.ts'
import { buildTokenCommand } from './token.ts'

/** Exit codes besides 0. */
const FAILED = 1
const MISUSED = 2

/** Runs the command that `args` (without the program's name) ask for. Resolves with its exit code; never rejects. */
export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  try {
    await buildProgram(io).parseAsync(args.length === 0 ? ['help'] : [...args], { from: 'user' })
    return 0
  } catch (error) {
    // Help is written as an error of code 0; mistakes have been told already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED
    if (io.signal.aborted) return FAILED
    const { code, text } = describeError(error)
    io.tell(code, text)
    return FAILED
  }
}

function buildProgram(io: Io): Command {
  const program = new Command('im')
    .description('Sends and receives instant messages through an im-cluster gateway.')
    .addHelpText(
      'after',
      `
Three steps to a first message (in the repository, \`im\` is \`npx im\`):
  1. Get a token for each user. For a gateway with IM_AUTH_SECRET:
       $ ALICE=$(im token --secret "$IM_AUTH_SECRET" --app 1 --user alice)
       $ BOB=$(im token --secret "$IM_AUTH_SECRET" --app 1 --user bob)
     For one with IM_AUTH_MODE=none, for development, it is simply 1:alice.
  2. Listen as one of them, at any gateway:
       $ im listen --url ws://127.0.0.1:8080 --token "$BOB"
  3. Send as the other one, at any other gateway:
       $ im send --url tcp://127.0.0.1:9002 --token "$ALICE" --to bob "hello"

IM_URL (several with commas) and IM_TOKEN stand in for --url and --token, and keep the token out of the list of
processes. \`im help <command>\` has examples for each command.
Exit codes: 0 done, 1 failed (why, and what to do, is on standard error), 2 misused, 130 interrupted.`,
    )
  const commands = [buildTokenCommand, buildListenCommand, buildSendCommand, buildChatCommand, buildPresenceCommand]
  for (const build of commands) program.addCommand(build(io))
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text) => io.tell('usage', `${text.replace(/^error: /, '').trim()}; see \`im help\``),
    })
  }
  return program
}
