import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Agent, request, type AgentOptions } from 'node:https'
import { type AddressInfo } from 'node:net'

const faults = ['reset before', 'reset after', '500', '503', '429'] as const

/**
 * Speaks plain HTTP to one client and TLS to the API server, and lets a share of the requests fail, each in one of these
 * ways: reset before the server saw it, reset after it was done, or refused. A share of the watches that get through is cut
 * in the middle of an event.
 */
export class FaultProxy implements AsyncDisposable {
  readonly #target: URL
  readonly #agent: Agent
  readonly #server: Server
  #random: () => number
  /** From 0 to 1. */
  share = 0
  /** Told of each write that the API server has done, before its answer is passed on. Leases are left out. */
  onWritten: ((write: string) => void) | undefined
  requests = 0
  readonly injected: Record<string, number> = {}

  private constructor(target: URL, credentials: AgentOptions, seed: number) {
    this.#target = target
    this.#agent = new Agent({ ...credentials, keepAlive: true })
    this.#random = seededRandom(seed)
    this.#server = createServer((from, to) => this.#handle(from, to))
  }

  static async start(target: URL, credentials: AgentOptions, seed: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, credentials, seed)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    this.#agent.destroy()
    await once(this.#server, 'close')
  }

  #handle(from: IncomingMessage, to: ServerResponse): void {
    this.requests += 1
    const fault = this.#random() < this.share ? faults[Math.floor(this.#random() * faults.length)] : undefined
    if (fault !== undefined) this.#count(fault)
    if (fault === 'reset before') {
      from.socket.resetAndDestroy()
      return
    }
    if (fault === '500' || fault === '503' || fault === '429') {
      from.resume()
      to.writeHead(Number(fault), {
        'Content-Type': 'application/json',
        ...(fault === '429' && { 'Retry-After': '1' }),
      })
      to.end(JSON.stringify({ kind: 'Status', code: Number(fault), reason: 'Injected', message: 'injected' }))
      return
    }
    const cutAt = from.url?.includes('watch=true') === true && this.#random() < this.share ? this.#random() : undefined
    this.#forward(from, to, fault === 'reset after', cutAt)
  }

  #forward(from: IncomingMessage, to: ServerResponse, resetAfter: boolean, cutAt: number | undefined): void {
    const { hostname, port } = this.#target
    const headers = { ...from.headers, host: this.#target.host }
    const onward = request({ hostname, port, path: from.url, method: from.method, headers, agent: this.#agent })
    onward.on('error', () => from.socket.destroy())
    onward.on('response', (answer) => {
      answer.on('error', () => to.destroy())
      const { method = '', url = '' } = from
      const path = url.replace(/\?.*/, '')
      if (method !== 'GET' && !path.includes('/leases')) this.onWritten?.(`${method} ${path}`)
      if (resetAfter) {
        // A watch never ends by itself soon, so its reset comes with the first piece.
        answer.once('data', () => from.socket.resetAndDestroy())
        answer.once('end', () => from.socket.resetAndDestroy())
        return
      }
      to.writeHead(answer.statusCode ?? 502, answer.headers)
      to.flushHeaders()
      answer.on('data', (chunk: Buffer) => {
        if (cutAt === undefined) {
          to.write(chunk)
          return
        }
        this.#count('cut')
        to.write(chunk.subarray(0, Math.floor(chunk.length * cutAt)), () => from.socket.resetAndDestroy())
      })
      answer.on('end', () => to.end())
    })
    to.on('close', () => onward.destroy())
    from.pipe(onward)
  }

  #count(fault: string): void {
    this.injected[fault] = (this.injected[fault] ?? 0) + 1
  }
}

/** Mulberry32: the same numbers for the same seed. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
