import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { guard } from '../../test/kit/servers/janitor.ts'
import { inTime } from '../../test/kit/wait.ts'
import type { Commands } from './commands.ts'

export interface Request {
  readonly id: number
  readonly name: keyof Commands
  readonly args: unknown
}

export type Response = { readonly id: number } & ({ readonly result: unknown } | { readonly error: string })

/** The load in a process of its own. Disposing it ends that, and with it all connections. */
export interface Generator extends AsyncDisposable {
  readonly pid: number
  /** Rejects when the command fails, the process ends, or it takes over 15 minutes. */
  call<Name extends keyof Commands>(
    name: Name,
    args: Parameters<Commands[Name]>[0],
  ): Promise<Awaited<ReturnType<Commands[Name]>>>
}

const file = fileURLToPath(new URL('main.ts', import.meta.url))
const COMMAND_DEADLINE_MS = 15 * 60_000

export function startGenerator(): Generator {
  const child = fork(file, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true, execArgv: [] })
  const pid = child.pid ?? 0
  const release = guard('process', pid)
  const pending = new Map<number, PromiseWithResolvers<unknown>>()
  let ended = false
  const exited = Promise.withResolvers<void>()
  child.on('message', (response: Response) => {
    const waiting = pending.get(response.id)
    pending.delete(response.id)
    if ('error' in response) waiting?.reject(new Error(response.error))
    else waiting?.resolve(response.result)
  })
  child.once('exit', (code, signal) => {
    ended = true
    release()
    exited.resolve()
    for (const { reject } of pending.values()) reject(new Error(`the load ended with ${signal ?? `code ${code}`}`))
  })
  let lastId = 0
  return {
    pid,
    async call(name, args) {
      if (ended) throw new Error('the process of the load has ended')
      const id = (lastId += 1)
      const waiting = Promise.withResolvers<unknown>()
      pending.set(id, waiting)
      child.send({ id, name, args } satisfies Request)
      return (await inTime(`${name} of the load`, waiting.promise, COMMAND_DEADLINE_MS)) as never
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited.promise
    },
  }
}
