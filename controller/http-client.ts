import { createHash } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'
import { ApiError, RuntimeError } from './errors.ts'
import { asError, orAbort } from './timing.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: URLSearchParams
  readonly contentType?: string
  readonly body?: string
}

/** TCP keep-alive probes start after this. */
const KEEP_ALIVE_MS = 30_000
/** An unused connection is closed before the API server (90 s) would do it under a request's feet. */
const IDLE_MS = 50_000

/**
 * Sends single requests to one API server over one pool of connections.
 *
 * client-node 2.0 makes a new dispatcher, hence a new TLS connection, for each request. Here KubeConfig only says who
 * we are (token, certificate), which is read for each request so that rotated credentials are taken up.
 */
export class HttpClient implements Disposable {
  readonly #config: KubeConfig
  readonly #server: URL
  readonly #maxConnections: number
  #agent: HttpAgent | undefined
  #agentId = ''
  #opened = 0

  /** @throws RuntimeError CONFIG_INVALID when there is no current cluster, or it is behind a proxy */
  constructor(config: KubeConfig, maxConnections: number) {
    const cluster = config.getCurrentCluster()
    if (cluster === null) throw invalid(`the kubeconfig has no cluster for context ${config.getCurrentContext()}`)
    if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== '') throw invalid('proxy-url is not supported')
    if (!URL.canParse(cluster.server)) throw invalid('the address of the API server is not a URL')
    this.#config = config
    this.#server = new URL(cluster.server)
    this.#maxConnections = maxConnections
  }

  /** TCP connections opened so far. */
  get connectionsOpened(): number {
    return this.#opened
  }

  /**
   * Sends a request and resolves with the answer once its headers are there. When the signal aborts, also while the
   * body is read, the connection is closed.
   *
   * @throws ApiError NETWORK; the signal's reason
   */
  async send(request: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const what = `${request.method} ${request.path}`
    const options = await orAbort(this.#authenticate(what), signal)
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const query = request.query === undefined || request.query.size === 0 ? '' : `?${request.query.toString()}`
    const outgoing = (this.#server.protocol === 'http:' ? httpRequest : httpsRequest)({
      ...options,
      method: request.method,
      hostname: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port,
      path: this.#server.pathname.replace(/\/$/, '') + request.path + query,
      signal,
    })
    let connected = false
    outgoing.once('socket', (socket) => {
      connected = outgoing.reusedSocket
      if (connected) return
      this.#opened += 1
      socket.once(this.#server.protocol === 'http:' ? 'connect' : 'secureConnect', () => {
        connected = true
      })
    })
    outgoing.once('response', resolve)
    // It stays: an error after the answer began reaches the reader through the answer itself.
    outgoing.on('error', (cause) => {
      if (signal.aborted) reject(asError(signal.reason))
      else reject(new ApiError('NETWORK', `${what}: ${cause.message || 'no connection'}`, { cause, sent: connected }))
    })
    if (request.contentType !== undefined) outgoing.setHeader('Content-Type', request.contentType)
    // Without it Node frames the body of a DELETE not at all, and the server takes it for the next request.
    if (request.body !== undefined) outgoing.setHeader('Content-Length', Buffer.byteLength(request.body))
    outgoing.end(request.body)
    return await promise
  }

  /** Closes the connections that are not in use: after one fell silent, the others of its age are suspect. */
  dropIdle(): void {
    for (const sockets of Object.values(this.#agent?.freeSockets ?? {}))
      for (const socket of sockets ?? []) socket.destroy()
  }

  /** Closes all connections, also those in use. */
  [Symbol.dispose](): void {
    this.#agent?.destroy()
  }

  async #authenticate(what: string): Promise<RequestOptions> {
    const read: RequestOptions = { headers: {} }
    try {
      await this.#config.applyToHTTPSOptions(read)
    } catch (cause) {
      // Not its message: of a credential plugin it is the whole standard error.
      throw new ApiError('UNAUTHORIZED', `${what}: the credentials cannot be read`, { cause, sent: false })
    }
    const headers: Record<string, string> = { Accept: 'application/json', 'User-Agent': 'im-cluster-operator' }
    for (const [name, value] of Object.entries(read.headers ?? {})) headers[name] = String(value).trim()
    const auth = typeof read.auth === 'string' ? { auth: read.auth } : {}
    return { headers, ...auth, agent: this.#agentFor(read) }
  }

  /** The pool; a new one when certificates changed. The old one's busy connections end with their requests. */
  #agentFor({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }: RequestOptions): HttpAgent {
    const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }
    const known = Object.entries(tls).filter(([, value]) => value !== undefined)
    const hash = createHash('sha256')
    for (const [name, value] of known) hash.update(name).update(Buffer.isBuffer(value) ? value : JSON.stringify(value))
    const id = hash.digest('base64')
    if (this.#agent !== undefined && id === this.#agentId) return this.#agent
    this.dropIdle()
    const pool = {
      keepAlive: true,
      keepAliveMsecs: KEEP_ALIVE_MS,
      timeout: IDLE_MS,
      maxSockets: this.#maxConnections,
      scheduling: 'lifo' as const,
    }
    const secure = this.#server.protocol !== 'http:'
    this.#agent = secure ? new HttpsAgent({ ...pool, ...Object.fromEntries(known) }) : new HttpAgent(pool)
    this.#agentId = id
    return this.#agent
  }
}

function invalid(message: string): RuntimeError {
  return new RuntimeError('CONFIG_INVALID', message, { retryable: false })
}

/**
 * Reads a kubeconfig: of a file, else the pod's own service account.
 *
 * @throws RuntimeError CONFIG_INVALID when it cannot be read
 */
export function loadKubeConfig(file?: string): KubeConfig {
  const config = new KubeConfig()
  try {
    if (file === undefined) config.loadFromCluster()
    else config.loadFromFile(file)
  } catch (cause) {
    throw new RuntimeError('CONFIG_INVALID', `the kubeconfig cannot be read: ${asError(cause).message}`, {
      cause,
      retryable: false,
    })
  }
  return config
}
