import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { buildListenOptions } from './address.ts'

const REQUEST_TIMEOUT_MS = 5_000

/** What is missing for this process to be ready; an empty list when it is. */
export type Readiness = () => readonly string[]

/** More paths, each with what answers it as JSON. */
export type Documents = Readonly<Record<string, () => unknown>>

/** Serves /livez, /readyz and /metrics to Kubernetes and Prometheus, on a port of its own. */
export class AdminServer implements AsyncDisposable {
  readonly #server: Server

  /** @param notes what to tell with the `ok` of /readyz, a line each */
  constructor(
    registry: Registry,
    readiness: Readiness,
    notes: () => readonly string[] = () => [],
    documents: Documents = {},
  ) {
    this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      const reply = (status: number, body: string, type = 'text/plain; charset=utf-8') => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
        response.end(request.method === 'HEAD' ? undefined : body)
      }
      // Not by the URL class, which throws at some of what a client may ask for.
      const [pathname] = (request.url ?? '').split('?', 1)
      if (request.method !== 'GET' && request.method !== 'HEAD') return reply(405, 'use GET\n')
      const document = Object.hasOwn(documents, pathname ?? '') ? documents[pathname ?? ''] : undefined
      if (document !== undefined) return reply(200, JSON.stringify(document()), 'application/json')
      switch (pathname) {
        case '/livez':
          return reply(200, 'ok\n')
        case '/readyz': {
          const missing = readiness()
          return missing.length === 0
            ? reply(200, `${['ok', ...notes()].join('\n')}\n`)
            : reply(503, `${missing.join('\n')}\n`)
        }
        case '/metrics':
          registry.metrics().then(
            (text) => reply(200, text, registry.contentType),
            () => reply(500, 'the metrics cannot be read\n'),
          )
          return
        default:
          return reply(404, 'there are /livez, /readyz and /metrics\n')
      }
    })
  }

  /**
   * @param host every address when empty
   * @returns the port, which the system chose when asked for 0
   * @throws what `net.Server` gives, such as EADDRINUSE
   */
  async listen(host: string, port: number): Promise<number> {
    this.#server.listen(buildListenOptions(host, port))
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}
