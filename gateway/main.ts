import { GatewayError } from './errors.ts'
import { runGateway } from './gateway.ts'
import { createLogger } from './logger.ts'
import { readSecretFiles } from './secrets/secret-files.ts'
import { DEFAULT_SECRETS_DIRECTORY, parseSettings } from './settings.ts'

const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
process.once('SIGINT', () => stop.abort())

let logger = createLogger('info', process.env.IM_BROKER_ID ?? '')
try {
  const files = await readSecretFiles(process.env.IM_SECRETS_DIRECTORY || DEFAULT_SECRETS_DIRECTORY)
  const settings = parseSettings({ ...process.env, ...files })
  logger = createLogger(settings.logLevel, settings.brokerId)
  await runGateway(settings, logger, stop.signal)
  process.exit(0)
} catch (err) {
  // Asked to stop while it was still starting.
  if (stop.signal.aborted && err === stop.signal.reason) process.exit(0)
  const code = err instanceof GatewayError ? err.code : ((err as { code?: string }).code ?? 'INTERNAL')
  logger.fatal({ code, err }, err instanceof Error ? err.message : String(err))
  process.exit(1)
}
