import { pino, type Logger } from 'pino'

export type { Logger }

/** The operator's logger: JSON lines on standard output. Secrets and URLs with passwords are never handed to it. */
export function createLogger(level: string): Logger {
  return pino({ level, base: {}, redact: { paths: ['url', '*.url', '*.data', 'password'], remove: true } })
}
