import { readFileSync } from 'node:fs'

/** Number of keys of every script, by the name of its file in functions/. Each touches keys of one slot only. */
const scripts = {
  'read-sessions': 1,
  'commit-session': 4,
  'set-offline': 1,
  'remove-session': 1,
  'clean-session': 1,
  append: 4,
  'read-inbox': 2,
  'save-cursor': 2,
  'fork-inbox': 2,
  'acquire-lease': 1,
  'renew-lease': 1,
  'release-lease': 1,
  'swap-field': 1,
} as const

export type ScriptName = keyof typeof scripts
export type ScriptArgument = string | number | Buffer

/** What each script returns; its file is the other half of the contract. */
interface Replies {
  'read-sessions': [time: number, fingerprint: string, fieldsAndValues: string[]]
  'commit-session': [epoch: string, seq: number, first: number, cursor: string | null] | null
  'set-offline': 0 | 1
  'remove-session': 0 | 1 | 2
  'clean-session': -1 | 0 | 1
  append: [seq: number, time: number, epoch: string, duplicate: 0 | 1, sessions: string[]]
  'read-inbox': [epoch: string, seq: number, first: number, entries: [id: string, fields: string[]][]]
  'save-cursor': 0 | 1
  'fork-inbox': [epoch: string, seq: number, first: number]
  'acquire-lease': [] | [holder: string, remainingMs: number]
  'renew-lease': 0 | 1 | string
  'release-lease': 0 | 1
  'swap-field': [time: number, found: string, swapped: 0 | 1]
}
type InBuffers<Reply> = Reply extends string
  ? Buffer
  : Reply extends object
    ? { [At in keyof Reply]: InBuffers<Reply[At]> }
    : Reply

interface Definer {
  defineCommand(name: string, definition: { lua: string; numberOfKeys: number }): void
}

const read = (name: string) => readFileSync(new URL(`functions/${name}.lua`, import.meta.url), 'utf8')
const prelude = read('prelude')
const definitions = Object.entries(scripts).map(([name, numberOfKeys]) => ({
  name: `im:${name}`,
  definition: { lua: prelude + read(name), numberOfKeys },
}))

/** Makes the scripts known to a client: done once for each, by connectRedis. */
export function defineScripts(client: Definer): void {
  for (const { name, definition } of definitions) client.defineCommand(name, definition)
}

/**
 * Sends a script to Redis: by its digest where the connection has sent it before. On a pipeline it is queued, and its
 * result is among those of the pipeline's `exec`.
 *
 * @param target a client or pipeline that knows the scripts
 */
export function sendScript<Name extends ScriptName>(
  target: object,
  name: Name,
  keys: readonly string[],
  args: readonly ScriptArgument[],
): Promise<Replies[Name]> {
  return call(target, `im:${name}`, [...keys, ...args])
}

/** The same, with every string of the reply as bytes. */
export function sendBinaryScript<Name extends ScriptName>(
  target: object,
  name: Name,
  keys: readonly string[],
  args: readonly ScriptArgument[],
): Promise<InBuffers<Replies[Name]>> {
  return call(target, `im:${name}Buffer`, [...keys, ...args])
}

function call<Reply>(target: object, name: string, args: ScriptArgument[]): Promise<Reply> {
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- ioredis adds its commands at run time, without types
  const command: (...args: ScriptArgument[]) => Promise<Reply> = Reflect.get(target, name)
  return command.apply(target, args)
}
