/**
 * The epoch of a stream is a path: `<tag>`, then `.<seq>~<tag>` for each time at which the history may have been cut. In
 * `a.5~b.9~c` the messages up to 5 are those of `a`, 6 to 9 those of `b`, and from 10 on those of `c`. So any two epochs of a
 * stream tell by themselves up to where they agree, whatever Redis has forgotten of what was between them. The path keeps its
 * last eight forks. Who is no part of the directory takes an epoch as it is.
 */
interface Part {
  readonly tag: string
  /** The last seq before this part; Infinity for the first. */
  readonly since: number
}

function parseEpoch(epoch: string): Part[] {
  return epoch.split('.').map((part) => {
    const [, since, tag] = /^(\d{1,16})~(.+)$/.exec(part) ?? []
    return tag === undefined ? { tag: part, since: Infinity } : { tag, since: Number(since) }
  })
}

/**
 * Up to which seq two epochs of a stream name the same messages: Infinity when they are the same; undefined when they have
 * nothing in common. prelude.lua has the same function.
 */
export function agreedSeq(one: string, other: string): number | undefined {
  if (one === other) return Infinity
  const [a, b] = [parseEpoch(one), parseEpoch(other)]
  const last = a.findLastIndex(({ tag }) => b.some((part) => part.tag === tag))
  if (last === -1) return undefined
  const match = b.findLastIndex(({ tag }) => tag === a[last]?.tag)
  return Math.min(a[last + 1]?.since ?? Infinity, b[match + 1]?.since ?? Infinity)
}
