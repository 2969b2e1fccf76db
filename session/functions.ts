import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { parseReplid } from './redis/replid.ts'

/** May run when Redis is out of memory: it frees some, writes no more than was there, or is what keeps a gateway alive. */
const FREES = ['allow-oom'] as const
const READS = ['no-writes'] as const

/**
 * Every function by the name of its file in functions/, with its flags
 * (https://redis.io/docs/latest/develop/programmability/functions-intro/#function-flags). Each touches keys of one slot only.
 */
const functions = {
  replid: READS,
  'may-write': [],
  'read-sessions': READS,
  'commit-session': [],
  'set-offline': FREES,
  'remove-session': FREES,
  'find-own': READS,
  'clean-sessions': FREES,
  'note-removed': FREES,
  append: [],
  'read-inbox': FREES,
  'read-state': READS,
  'list-to-stream': [],
  'save-cursor': [],
  'fork-inbox': FREES,
  'acquire-lease': FREES,
  'renew-lease': FREES,
  'release-lease': FREES,
  'swap-field': FREES,
} as const

export type FunctionName = keyof typeof functions
export type FunctionArgument = string | number | Buffer

/** What each function returns; its file is the other half of the contract. */
interface Replies {
  replid: string
  'may-write': 1
  'read-sessions': [time: number, fingerprint: string, fieldsAndValues: string[]]
  'commit-session': [epoch: string, seq: number, first: number, cursor: string | null] | null
  'set-offline': 0 | 1
  'remove-session': 0 | 1 | 2
  'find-own': (string | 0 | 1)[]
  'clean-sessions': number
  'note-removed': 1
  append: ([seq: number, time: number, epoch: string, duplicate: 0 | 1, brokers: string] | Error)[]
  'read-inbox': [epoch: string, seq: number, first: number, entries: string[]]
  'read-state': [epoch: string, seq: number, first: number] | null
  'list-to-stream': 0 | 1
  'save-cursor': 0 | 1
  'fork-inbox': [epoch: string, seq: number, first: number]
  'acquire-lease': [acquiredAt: number] | [holder: string, remainingMs: number]
  'renew-lease': 0 | 1 | string
  'release-lease': 0 | 1
  'swap-field': [time: number, found: string, swapped: 0 | 1]
}
type InBuffers<Reply> = Reply extends string
  ? Buffer
  : Reply extends object
    ? { [At in keyof Reply]: InBuffers<Reply[At]> }
    : Reply

const read = (name: string) => readFileSync(new URL(`functions/${name}.lua`, import.meta.url), 'utf8')
const prelude = ['prelude', 'entry', 'stream', 'dedupe', 'list', 'append-message'].map(read).join('\n')
const sources = Object.entries(functions).map(([name, flags]) => ({ name, flags, source: read(name) }))
// Releases that run side by side, in a rolling update, have a library each: a name stands for one text.
const version = createHash('sha1')
  .update(JSON.stringify([prelude, sources]))
  .digest('hex')
  .slice(0, 12)
const libraryName = `im_${version}`
const fullNames = new Map(sources.map(({ name }) => [name, `im_${name.replaceAll('-', '_')}_${version}`]))

/** The library's text. `replid` stays in it: whose the streams are taken to be that no function has touched yet. */
function buildLibrary(replid: string): string {
  const registrations = sources.map(
    ({ name, flags, source }) => `redis.register_function{
  function_name = '${fullNames.get(name)}',
  flags = { ${flags.map((flag) => `'${flag}'`).join(', ')} },
  callback = function(KEYS, ARGV)
${source}
  end,
}`,
  )
  return [`#!lua name=${libraryName}`, `local FIRST_REPLID = '${replid}'`, prelude, ...registrations].join('\n')
}

/** Brings the library to a primary, unless it is there. */
export async function loadLibrary(node: Redis): Promise<void> {
  const replid = parseReplid(await node.info('replication')) ?? ''
  try {
    await node.function('LOAD', buildLibrary(replid))
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('already exists'))) throw error
  }
}

/** Whether a call failed because the server does not have the library (yet, or any more): nothing was done. */
export function isLibraryMissing(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('ERR Function not found')
}

/**
 * Sends a call of a function. On a pipeline it is queued, and its result is among those of the pipeline's `exec`.
 *
 * @param target a client or pipeline
 */
export function sendFunction<Name extends FunctionName>(
  target: object,
  name: Name,
  keys: readonly string[],
  args: readonly FunctionArgument[],
): Promise<Replies[Name]> {
  return send(target, 'fcall', name, keys, args)
}

/** The same, with every string of the reply as bytes. */
export function sendBinaryFunction<Name extends FunctionName>(
  target: object,
  name: Name,
  keys: readonly string[],
  args: readonly FunctionArgument[],
): Promise<InBuffers<Replies[Name]>> {
  return send(target, 'fcallBuffer', name, keys, args)
}

function send<Reply>(
  target: object,
  command: 'fcall' | 'fcallBuffer',
  name: FunctionName,
  keys: readonly string[],
  args: readonly FunctionArgument[],
): Promise<Reply> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a function returns only its file says
  const caller = target as Record<typeof command, (...args: unknown[]) => Promise<Reply>>
  return caller[command](fullNames.get(name), keys.length, ...keys, ...args)
}
