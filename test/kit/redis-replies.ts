const LINE_END = '\r\n'

/**
 * The whole replies (RESP2) at the start of the bytes, and the rest, which is less than one.
 *
 * @throws Error when they are no replies
 */
export function splitReplies(bytes: Buffer): { replies: Buffer[]; rest: Buffer } {
  const replies: Buffer[] = []
  let at = 0
  for (let end = findEnd(bytes, at); end !== undefined; end = findEnd(bytes, at)) {
    replies.push(bytes.subarray(at, end))
    at = end
  }
  return { replies, rest: bytes.subarray(at) }
}

/** Where the reply that begins at `at` ends; undefined while it is not whole. */
function findEnd(bytes: Buffer, at: number): number | undefined {
  const lineEnd = bytes.indexOf(LINE_END, at)
  if (lineEnd === -1) return undefined
  const line = bytes.toString('latin1', at, lineEnd)
  let end = lineEnd + LINE_END.length
  const size = Number(line.slice(1))
  switch (line[0]) {
    case '+':
    case '-':
    case ':':
      return end
    case '$':
      if (size >= 0) end += size + LINE_END.length
      return end <= bytes.length ? end : undefined
    case '*':
      for (let left = size; left > 0; left -= 1) {
        const next = findEnd(bytes, end)
        if (next === undefined) return undefined
        end = next
      }
      return end
    default:
      throw new Error(`not a reply: ${JSON.stringify(line)}`)
  }
}
