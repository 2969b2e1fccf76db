import { createLogger } from './logger.ts'
import { runOperator } from './operator.ts'
import { parseSettings } from './settings.ts'

const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
process.once('SIGINT', () => stop.abort())

let logger = createLogger('info')
try {
  const settings = parseSettings(process.env)
  logger = createLogger(settings.logLevel)
  await runOperator(settings, logger, stop.signal)
  process.exit(0)
} catch (err) {
  if (stop.signal.aborted && err === stop.signal.reason) process.exit(0)
  const code = (err as { code?: string }).code ?? 'INTERNAL'
  logger.fatal({ code, err }, err instanceof Error ? err.message : String(err))
  process.exit(1)
}
