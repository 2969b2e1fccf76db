/** What a transport reports. `closed` comes once, and nothing after it. */
export interface TransportEvents {
  /** Bytes of the gateway, as they came. `whole`: they are to hold whole frames, as a WebSocket message does. */
  data(bytes: Uint8Array, whole: boolean): void
  /** It is over. `number` and `reason` are a WebSocket's close code and reason; `cause` is the system's error, if any. */
  closed(end: { number?: number; reason?: string; cause?: unknown }): void
}

/** A way for bytes to a gateway and back: TCP or WebSocket. */
export interface Transport {
  /** Sends one whole frame. Ignored once the transport is closing. */
  send(frame: Uint8Array): void
  /** Ends it after what was sent has gone out. */
  close(): void
  /** Ends it now; `closed` is not called any more. */
  destroy(): void
}

/**
 * Begins to connect to a gateway. `opened` is called when frames can be sent; `closed` when that failed, or later. Throws a
 * ClientError `option_invalid` for a URL that it cannot serve.
 */
export type OpenTransport = (url: URL, events: TransportEvents & { opened(): void }) => Transport
