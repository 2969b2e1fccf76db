import { type IncomingMessage } from 'node:http'
import { ApiError, buildStatusError, type StatusObject } from './errors.ts'
import { asError } from './timing.ts'

/** Longest answer that is read; 500 objects of the usual size are a few MiB. */
const MAX_BODY_BYTES = 64 * 1024 * 1024
/** Longest line of a watch; an object is at most 1.5 MiB in etcd, and longer as JSON. */
const MAX_LINE_BYTES = 16 * 1024 * 1024
const NEWLINE = 10

/**
 * Reads an answer as JSON.
 *
 * @throws ApiError of the server's status when it refuses; PROTOCOL when the body is no JSON or too long; NETWORK
 */
export async function readJson(response: IncomingMessage, what: string): Promise<unknown> {
  const text = (await readBody(response, what)).toString('utf8')
  const status = response.statusCode ?? 0
  if (status >= 200 && status < 300) {
    return parseJson(text, `${what}: the answer`)
  }
  throw buildStatusError(what, status, parseStatus(text), response.headers['retry-after'])
}

/**
 * Reads an answer line by line, each one JSON value. Ends when the server ends the answer.
 *
 * @throws ApiError PROTOCOL when a line is no JSON or too long; NETWORK when the connection broke
 */
export async function* readJsonLines(response: IncomingMessage, what: string): AsyncGenerator<unknown, void> {
  let parts: Buffer[] = []
  let length = 0
  for await (const chunk of chunksOf(response, what)) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end))
      const line = Buffer.concat(parts).toString('utf8')
      parts = []
      length = 0
      start = end + 1
      if (line.trim() !== '') yield parseJson(line, `${what}: an event`)
    }
    if (start === chunk.length) continue
    parts.push(chunk.subarray(start))
    length += chunk.length - start
    if (length > MAX_LINE_BYTES)
      throw new ApiError('PROTOCOL', `${what}: a line is longer than ${MAX_LINE_BYTES} bytes`)
  }
  // A rest without a newline is an event cut off: the next watch brings it again.
  if (length > 0) throw new ApiError('NETWORK', `${what}: the answer was cut off`)
}

async function readBody(response: IncomingMessage, what: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of chunksOf(response, what)) {
    chunks.push(chunk)
    length += chunk.length
    if (length > MAX_BODY_BYTES)
      throw new ApiError('PROTOCOL', `${what}: the answer is longer than ${MAX_BODY_BYTES} bytes`)
  }
  return Buffer.concat(chunks)
}

/** The body in pieces. Leaving it before its end closes the connection. */
async function* chunksOf(response: IncomingMessage, what: string): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of response) yield chunk as Buffer
  } catch (cause) {
    throw new ApiError('NETWORK', `${what}: ${asError(cause).message}`, { cause })
  }
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Without the cause, whose message quotes the text: it may be of a Secret.
    throw new ApiError('PROTOCOL', `${what} is no JSON`)
  }
}

function parseStatus(text: string): StatusObject {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) return body
  } catch {
    // A proxy's page, for example: the status alone must do.
  }
  return {}
}
