import type { CodeName } from '../../protocol/codes.ts'

/** What a connection is told by its transport. */
export interface TransportEvents {
  /** Bytes of TCP in any portion, one whole WebSocket message, or the text of one. */
  received(data: Uint8Array | string): void
  /** The peer broke the rules of the transport, which is about to end. */
  failed(code: CodeName): void
  /** What was written has left: `bufferedBytes` is smaller than before. */
  flushed(): void
  /** Bytes have come that are no whole message yet: `partial` has changed. */
  partial(): void
  /** The transport has ended, whoever ended it. Called once; nothing follows. */
  ended(): void
}

/** One client's byte path: raw TCP or WebSocket, with or without TLS. */
export interface Transport {
  readonly kind: 'tcp' | 'websocket'
  readonly codec: 'binary' | 'json'
  /** Bytes written and not yet taken by the system. */
  readonly bufferedBytes: number
  /** The message that is coming, where the transport itself puts messages together: bytes held, and still to come. */
  readonly partial: { readonly held: number; readonly missing: number }
  write(data: Uint8Array | string): void
  /** Stops reading at once; what has been read already may still arrive. */
  pause(): void
  resume(): void
  /** Ends after what was written has left, and by force when that takes too long. */
  end(code: CodeName): void
  /** Ends at once. */
  destroy(): void
}

/** How long a peer may take to let go of an ended transport, in milliseconds. */
export const END_TIMEOUT_MS = 2_000
