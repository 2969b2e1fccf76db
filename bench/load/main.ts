// The process of the load: does what the bench asks for over the channel, and ends with it.
import { commands } from './commands.ts'
import type { Request, Response } from './generator.ts'

process.on('message', ({ id, name, args }: Request) => {
  const answer = (response: Response) => process.connected && process.send?.(response)
  run(name, args).then(
    (result) => answer({ id, result }),
    (error: unknown) => answer({ id, error: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))

async function run(name: Request['name'], args: unknown): Promise<unknown> {
  const command = commands[name] as (args: unknown) => Promise<unknown>
  return command(args)
}
