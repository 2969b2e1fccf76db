import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo } from 'node:net'
import { KubeConfig, type User } from '@kubernetes/client-node'
import { type KubeObject, type Resource } from './resource.ts'

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>
}

export const configMaps: Resource<ConfigMap> = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
}

/** A request as the server got it. */
export interface Received {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Answer = (request: Received, response: ServerResponse) => void | Promise<void>

export interface TestServer extends AsyncDisposable {
  readonly config: KubeConfig
  readonly received: Received[]
  /** Connections accepted so far. */
  readonly connections: number
  /** Resolves once no connection is open. */
  noneOpen(): Promise<void>
}

/**
 * A plain HTTP server for what a real API server does not do on demand: refuse, fall silent, talk nonsense. How the real
 * one behaves is tested in e2e/.
 */
export async function startTestServer(answer: Answer, user: Partial<User> = {}): Promise<TestServer> {
  const received: Received[] = []
  let connections = 0
  const open = new Set<Promise<unknown>>()
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url = '', headers } = request
    const body = Buffer.concat(chunks).toString()
    received.push({ method, url: new URL(url, 'http://test'), headers, body })
    await answer(received.at(-1) as Received, response)
  }
  const server = createServer((request, response) => void handle(request, response))
  server.on('connection', (socket) => {
    connections += 1
    const closed = Promise.withResolvers<void>()
    socket.once('close', closed.resolve)
    open.add(closed.promise)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const config = new KubeConfig()
  const cluster = { name: 'test', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }
  config.loadFromClusterAndUser(cluster, { name: 'test', ...user })
  return {
    config,
    received,
    get connections() {
      return connections
    },
    async noneOpen() {
      await Promise.all(open)
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** Refuses every request with a Status object. */
export function refuse(status: number, headers = {}): Answer {
  const body = { kind: 'Status', code: status, reason: 'Test', message: 'refused' }
  return (_, response) => sendJson(response, status, body, headers)
}

/** A ConfigMap of namespace `ns`. */
export function buildConfigMap(name: string, resourceVersion = '1', uid = `uid-${name}`): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'ns', name, uid, resourceVersion } }
}
