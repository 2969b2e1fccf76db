import assert from 'node:assert/strict'
import type { Frame, FrameOf } from '../../protocol/frames.ts'
import { textOf } from './raw-client.ts'
import type { Device } from './device.ts'
import type { RawClient } from './raw-login.ts'
import { PATIENCE_MS, until } from './wait.ts'

/** Five numbered texts: `<name> 1` to `<name> 5`. */
export function five(name: string): string[] {
  return [1, 2, 3, 4, 5].map((number) => `${name} ${number}`)
}

/** These texts as messages with consecutive seq from `first` on, as a story tells of them: `6 new 1`, `7 new 2`, … */
export function numbered(first: number, texts: readonly string[]): string[] {
  return texts.map((text, at) => `${first + at} ${text}`)
}

/** Whether a gap says of no message that it is missing: it only names the epoch that the stream goes on under. */
export function isEmpty({ fromSeq, toSeq, reason }: FrameOf<'gap'>): boolean {
  return reason === 'trimmed' && fromSeq > toSeq
}

/**
 * What a client without manners was given, in order: each durable message as `<seq> <text>`, each gap in which something
 * is missing as `<reason> <toSeq>`.
 */
export function storyOf({ frames }: RawClient): string[] {
  return frames.flatMap((frame: Frame) => {
    if (frame.type === 'message' && frame.seq > 0) return [`${frame.seq} ${textOf(frame)}`]
    return frame.type === 'gap' && !isEmpty(frame) ? [`${frame.reason} ${frame.toSeq}`] : []
  })
}

/** Waits for the last part of the story, and asserts that this is the whole of it. */
export async function assertStory(client: RawClient, wanted: readonly string[], timeoutMs?: number): Promise<void> {
  const last = wanted.at(-1)
  // What did not come shows in the comparison.
  if (last !== undefined) {
    await until(last, () => storyOf(client).includes(last), timeoutMs).catch(() => undefined)
  }
  await client.sync()
  assert.deepEqual(storyOf(client), wanted)
}

/** Asserts that a device with the SDK got these texts, each once and in order, and was told of resets up to these seqs. */
export async function assertHeard(
  device: Device,
  texts: readonly string[],
  resets: readonly number[] = [],
  timeoutMs = PATIENCE_MS,
): Promise<void> {
  const last = texts.at(-1)
  await until(String(last), () => device.texts.at(-1) === last && device.gaps.length >= resets.length, timeoutMs).catch(
    () => undefined,
  )
  assert.deepEqual(device.texts, texts, device.name)
  assert.deepEqual(
    device.gaps.map(({ reason, toSeq }) => `${reason} ${toSeq}`),
    resets.map((seq) => `reset ${seq}`),
    device.name,
  )
}
