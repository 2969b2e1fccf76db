/** What a record adds to its frame on the wire at most, but for a transient one that has been to very many gateways. */
const MAX_RECORD_BYTES = 2_048

/** What is wrong with the longest message that NATS takes, or undefined when every frame fits into it. */
export function describePayloadLimit(maxFrameBytes: number, maxPayloadBytes: number): string | undefined {
  const needed = maxFrameBytes + MAX_RECORD_BYTES
  if (maxPayloadBytes >= needed) return undefined
  return (
    `NATS takes ${maxPayloadBytes} bytes at most (max_payload), and a frame of ${maxFrameBytes} (IM_MAX_FRAME_BYTES) may need ` +
    `${needed}: longer messages reach other gateways by way of Redis, transient ones do not; raise the one or lower the other`
  )
}
