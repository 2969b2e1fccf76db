import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import { GatewayError } from '../errors.ts'
import { FileWatch, versionOf } from '../secrets/file-watch.ts'
import type { Logger } from '../logger.ts'
import type { Metrics } from '../metrics.ts'

/**
 * A certificate and key that are read again when their files change. A pair that cannot be used is reported and the
 * former one stays; connections made before keep theirs.
 */
export class TlsCredentials implements AsyncDisposable {
  #context: SecureContext
  readonly #watch: FileWatch

  private constructor(
    files: readonly [cert: string, key: string],
    first: { context: SecureContext; version: string },
    logger: Logger,
    metrics: Metrics,
  ) {
    this.#context = first.context
    this.#watch = new FileWatch(files, first.version, () => this.#reload(files, logger, metrics))
  }

  /**
   * Reads the pair for the first time.
   *
   * @throws GatewayError TLS_INVALID
   */
  static async load(certFile: string, keyFile: string, logger: Logger, metrics: Metrics): Promise<TlsCredentials> {
    const files = [certFile, keyFile] as const
    try {
      return new TlsCredentials(files, { version: await versionOf(files), context: await read(files) }, logger, metrics)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const message = `cannot use ${certFile} with ${keyFile}: ${reason}; set IM_TLS_CERT_FILE and IM_TLS_KEY_FILE to a PEM pair`
      throw new GatewayError('TLS_INVALID', message, { cause, retryable: false })
    }
  }

  /** The pair for a new connection. */
  get context(): SecureContext {
    return this.#context
  }

  /** What cannot be used is not tried again before the files change. */
  async #reload(files: readonly [string, string], logger: Logger, metrics: Metrics): Promise<boolean> {
    try {
      this.#context = await read(files)
      metrics.tlsReloads.inc({ result: 'ok' })
      logger.info({ files }, 'the certificate was read again')
    } catch (err) {
      metrics.tlsReloads.inc({ result: 'failed' })
      logger.error({ err, files }, 'the new certificate cannot be used; the former one stays')
    }
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch[Symbol.asyncDispose]()
  }
}

async function read([certFile, keyFile]: readonly [string, string]): Promise<SecureContext> {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  return createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
}
