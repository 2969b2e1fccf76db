import { pino, type Logger } from 'pino'

export type { Logger }

/**
 * The gateway's logger: JSON lines on standard output. What is logged names connections, users and brokers; a token or a
 * payload is never handed to it, and redaction catches one that is handed to it by mistake.
 */
export function createLogger(level: string, brokerId: string): Logger {
  return pino({
    level,
    base: { brokerId },
    redact: {
      paths: ['token', 'payload', 'frame', '*.token', '*.payload', 'authSecret', 'natsPassword'],
      remove: true,
    },
  })
}
