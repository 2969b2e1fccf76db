import { readFile, stat } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import { GatewayError } from './errors.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'

/** How often the files are looked at. Polling also sees the link swap by which Kubernetes updates a Secret. */
const POLL_MS = 1_000

/**
 * A certificate and key that are read again when their files change. A pair that cannot be used is reported and the
 * former one stays; connections made before keep theirs.
 */
export class TlsCredentials implements Disposable {
  #context: SecureContext
  #version: string
  #polling = false
  readonly #timer: NodeJS.Timeout

  private constructor(
    files: readonly [cert: string, key: string],
    first: { context: SecureContext; version: string },
    logger: Logger,
    metrics: Metrics,
  ) {
    this.#context = first.context
    this.#version = first.version
    this.#timer = setInterval(() => {
      if (this.#polling) return
      this.#polling = true
      void this.#poll(files, logger, metrics).finally(() => (this.#polling = false))
    }, POLL_MS).unref()
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

  async #poll(files: readonly [string, string], logger: Logger, metrics: Metrics): Promise<void> {
    try {
      const version = await versionOf(files)
      if (version === this.#version) return
      this.#version = version
      this.#context = await read(files)
      metrics.tlsReloads.inc({ result: 'ok' })
      logger.info({ files }, 'the certificate was read again')
    } catch (err) {
      metrics.tlsReloads.inc({ result: 'failed' })
      logger.error({ err, files }, 'the new certificate cannot be used; the former one stays')
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

async function versionOf(files: readonly string[]): Promise<string> {
  const stats = await Promise.all(files.map((file) => stat(file, { bigint: true })))
  return stats.map(({ ino, mtimeNs, size }) => `${ino}:${mtimeNs}:${size}`).join(' ')
}

async function read([certFile, keyFile]: readonly [string, string]): Promise<SecureContext> {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  return createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
}
