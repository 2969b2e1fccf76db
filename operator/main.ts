import { OperatorError } from './errors.ts'
import { createLogger } from './logger.ts'
import { runOperator } from './operator.ts'
import { releaseClusters } from './release-clusters.ts'
import { parseSettings } from './settings.ts'

/** By the first argument; without one the operator runs. */
const commands: Readonly<Record<string, typeof runOperator>> = { run: runOperator, release: releaseClusters }

const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
process.once('SIGINT', () => stop.abort())

let logger = createLogger('info')
try {
  const settings = parseSettings(process.env)
  logger = createLogger(settings.logLevel)
  const [, , name = 'run'] = process.argv
  const command = commands[name]
  if (command === undefined) {
    const message = `there is no command ${name}; there are: ${Object.keys(commands).join(', ')}`
    throw new OperatorError('SETTINGS_INVALID', message, { retryable: false })
  }
  await command(settings, logger, stop.signal)
  process.exit(0)
} catch (err) {
  if (stop.signal.aborted && err === stop.signal.reason) process.exit(0)
  const code = (err as { code?: string }).code ?? 'INTERNAL'
  logger.fatal({ code, err }, err instanceof Error ? err.message : String(err))
  process.exit(1)
}
