import type { Duplex } from 'node:stream'

/** What Node has below a socket, TLS or not. */
interface Handle {
  reading: boolean
  readStop(): unknown
  readStart(): unknown
}

/**
 * Pauses a socket so that the system is asked for no more bytes. Node's own `pause` goes on reading until its buffer is
 * full, 64 KiB: 10,000 paused connections could hold 640 MB that nobody counts.
 */
export function stopReading(stream: Duplex): void {
  stream.pause()
  const handle = handleOf(stream)
  if (handle?.reading !== true) return
  handle.reading = false
  handle.readStop()
}

/** Undoes `stopReading`. */
export function startReading(stream: Duplex): void {
  const handle = handleOf(stream)
  if (handle?.reading === false && !stream.destroyed) {
    handle.reading = true
    handle.readStart()
  }
  stream.resume()
}

function handleOf(stream: Duplex): Handle | undefined {
  const { _handle: handle } = stream as { _handle?: Partial<Handle> | null }
  // Not documented: should a Node do without it, its own pause remains, and a test says so.
  return typeof handle?.readStop === 'function' && typeof handle.readStart === 'function'
    ? (handle as Handle)
    : undefined
}
