import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { GatewayProcess } from '../test/kit/servers/gateway-process.ts'
import { connectTcp, connectWebSocket, type LoginFields, type RawClient } from '../test/kit/raw-client.ts'
import { signToken } from '../test/kit/token.ts'
import { codes, type CodeName } from '../protocol/codes.ts'
import { subprotocols, type Frame } from '../protocol/frames.ts'
import { SECRET, assertCounted, eventually, openBench, readMetric, startWitnesses } from './test-bench.ts'

/** The secret of the target's tokens. */
export const authSecret = `${SECRET} and at least 32 bytes long`
export const maxFrameBytes = 8_192
export const frameTimeoutMs = 250

/** A way to talk to a gateway. */
export type Wire = 'tcp' | 'binary' | 'json'
export const wires = ['tcp', 'binary', 'json'] as const

/** A gateway in auth mode `secret` that gets bad input, while two witnesses exchange messages over it. */
export interface Target extends AsyncDisposable {
  readonly gateway: GatewayProcess
  /** Of the user mallory. */
  readonly token: string
  connect(wire: Wire): Promise<RawClient>
  /** Connects, does `work`, and checks that this ends the connection with the code, in every form that it has. */
  assertCloses(code: CodeName, wire: Wire, work: (client: RawClient) => unknown, login?: LoginFields): Promise<void>
  /** Sends a request on a connection that is logged in; checks that it is refused and that the connection goes on. */
  assertRefuses(code: CodeName, frame: Frame & { readonly requestId: number }): Promise<void>
}

/** Starts a target. Disposing it checks that the witnesses lost nothing, and that nothing but them is left. */
export async function openTarget(): Promise<Target> {
  await using stack = new AsyncDisposableStack()
  const bench = stack.use(await openBench())
  const gateway = await bench.start('gw-0', {
    AUTH_MODE: 'secret',
    AUTH_SECRET: authSecret,
    AUTH_APPS: '1',
    MAX_FRAME_BYTES: String(maxFrameBytes),
    FRAME_TIMEOUT_MS: String(frameTimeoutMs),
  })
  const token = await signToken(authSecret, 1, 'mallory')
  const witnesses = await startWitnesses(gateway, {
    names: ['witness-1', 'witness-2'],
    tcp: { token: await signToken(authSecret, 1, 'witness-1') },
    webSocket: { token: await signToken(authSecret, 1, 'witness-2') },
  })
  stack.defer(() => witnesses.stop())
  stack.defer(async () => {
    // The two witnesses.
    const connections = (transport: string) => readMetric(gateway, `im_connections{transport="${transport}"}`)
    // The gateway hears of the end of the last client a moment after the client itself.
    await eventually(
      async () => [
        await connections('tcp'),
        await connections('websocket'),
        await readMetric(gateway, 'im_pending_logins'),
      ],
      (counts) => isDeepStrictEqual(counts, [1, 1, 0]),
      'nothing but the witnesses to be left',
    )
  })
  const closing = stack.move()
  const connect = (wire: Wire) =>
    wire === 'tcp' ? connectTcp(gateway.tcpUrl) : connectWebSocket(gateway.wsUrl, { subprotocol: subprotocols[wire] })

  return {
    gateway,
    token,
    connect,
    assertCloses: (code, wire, work, login) =>
      assertCounted(gateway, `im_closes_total{code="${code}"}`, async () => {
        await using client = await connect(wire)
        if (login !== undefined) await client.login(login)
        await work(client)
        const ending = await client.waitForEnd()
        assert.equal(ending.name, code)
        assert.notEqual(ending.frame?.message, '')
        assert.equal(ending.frame?.clientType, 255)
        if (wire !== 'tcp') assert.deepEqual([ending.code, ending.reason], [codes[code].code, code])
      }),
    async assertRefuses(code, frame) {
      for (const wire of wires) {
        await assertCounted(gateway, `im_errors_total{code="${code}"}`, async () => {
          await using client = await connect(wire)
          await client.login({ token })
          client.send(frame)
          const error = await client.next('error')
          assert.equal(error.code, codes[code].code)
          assert.equal(error.requestId, frame.requestId)
          await client.sync()
        })
      }
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  }
}
