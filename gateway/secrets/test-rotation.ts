import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Client } from '../../client/index.ts'
import { Collector } from '../../client/test-kit.ts'
import type { GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { eventually, readMetric, SECRET } from '../test-bench.ts'

/** A directory of secrets as the kubelet keeps one: all of it changes at once, by the swap of a link. */
export class SecretFolder implements AsyncDisposable {
  readonly path: string
  #version = 0
  readonly #linked = new Set<string>()

  private constructor(path: string) {
    this.path = path
  }

  static async create(files: Readonly<Record<string, string>>): Promise<SecretFolder> {
    const folder = new SecretFolder(await mkdtemp(join(tmpdir(), 'im-secrets-')))
    await folder.write(files)
    return folder
  }

  /** Replaces all files by these. */
  async write(files: Readonly<Record<string, string>>): Promise<void> {
    this.#version += 1
    const version = `..${this.#version}`
    await mkdir(join(this.path, version))
    for (const [name, content] of Object.entries(files)) await writeFile(join(this.path, version, name), content)
    await symlink(version, join(this.path, '..data_tmp'))
    await rename(join(this.path, '..data_tmp'), join(this.path, '..data'))
    for (const name of Object.keys(files)) {
      if (!this.#linked.has(name)) await symlink(join('..data', name), join(this.path, name))
      this.#linked.add(name)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true })
  }
}

/** Two users at two gateways who write to each other all the time. */
export class Talk implements AsyncDisposable {
  readonly #clients: readonly Client[]
  readonly #sent: string[][] = [[], []]
  readonly #received: readonly Collector[]
  #disconnects = 0
  #over = false
  readonly #talking: Promise<unknown>

  private constructor(clients: readonly Client[]) {
    this.#clients = clients
    this.#received = clients.map((client) => new Collector(client))
    for (const client of clients) client.on('disconnected', () => (this.#disconnects += 1))
    this.#talking = Promise.all([this.#speak(0), this.#speak(1)])
    // Told by `finish`, not as an unhandled rejection.
    this.#talking.catch(() => undefined)
  }

  static async start(
    gateways: readonly [GatewayProcess, GatewayProcess],
    tokenOf = (user: string): Promise<string> => Promise.resolve(`1:${user}`),
  ): Promise<Talk> {
    const clients = gateways.map(({ tcpUrl }, at) => {
      const user = `user-${at}`
      return connect({ urls: tcpUrl, token: () => tokenOf(user), device: { clientType: 'web', imei: user } })
    })
    await Promise.all(clients.map((client) => client.ready()))
    return new Talk(clients)
  }

  async #speak(from: 0 | 1): Promise<void> {
    const [client, sent] = [this.#clients[from], this.#sent[from]]
    assert.ok(client && sent)
    while (!this.#over) {
      const text = `${SECRET} ${from} ${sent.length}`
      sent.push(text)
      await client.send(`user-${1 - from}`, text)
      await delay(10)
    }
  }

  /** Waits until messages go both ways that were not sent yet. */
  async goesOn(): Promise<void> {
    const counts = this.#sent.map(({ length }) => length)
    await Promise.race([
      Promise.all([0, 1].map(async (at) => await this.#received[1 - at]?.until((counts[at] ?? 0) + 1))),
      this.#talking,
    ])
  }

  /** Ends it, and checks that everything came, once and in order, and that no connection was lost. */
  async finish(): Promise<void> {
    this.#over = true
    await this.#talking
    for (const at of [0, 1]) {
      const sent = this.#sent[at] ?? []
      await this.#received[1 - at]?.until(sent.length)
      assert.deepEqual(this.#received[1 - at]?.texts, sent)
    }
    assert.equal(this.#disconnects, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true
    await Promise.all(this.#clients.map((client) => client[Symbol.asyncDispose]()))
  }
}

/** Waits until a gateway has taken so many changes of secrets since its start. */
export async function waitForTaken(gateway: GatewayProcess, count: number): Promise<void> {
  await eventually(
    () => gateway.logs().filter(({ msg }) => String(msg).startsWith('a secret was read again')).length,
    (found) => found === count,
    `changes that ${gateway.brokerId} has taken`,
  )
}

/** Waits until /readyz says a trouble, or does not. */
export async function waitForTrouble(gateway: GatewayProcess, words: RegExp | undefined): Promise<void> {
  const ask = async () => {
    const response = await fetch(`${gateway.adminUrl}/readyz`)
    return `${response.status} ${await response.text()}`
  }
  await eventually(ask, (text) => (words === undefined ? text === '200 ok\n' : words.test(text)), '/readyz')
  const series = 'im_trouble{reason="SecretUnusable"}'
  assert.equal(await readMetric(gateway, series), words?.source.startsWith('IM_') === true ? 1 : 0)
}
