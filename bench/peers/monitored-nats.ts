import { findFreePort } from '../../test/kit/servers/free-port.ts'
import { startNats, type NatsServer } from '../../test/kit/servers/nats-server.ts'

/** A NATS server that tells over HTTP what it has carried. */
export async function startMonitoredNats(): Promise<NatsServer & { readonly monitorUrl: string }> {
  const port = await findFreePort()
  const server = await startNats({ config: `http: "127.0.0.1:${port}"\n` })
  return Object.assign(server, { monitorUrl: `http://127.0.0.1:${port}` })
}

/** Messages that a NATS server has handed out so far. */
export async function readNatsMessages(monitorUrl: string): Promise<number> {
  const response = await fetch(`${monitorUrl}/varz`, { signal: AbortSignal.timeout(10_000) })
  const { out_msgs: messages } = (await response.json()) as { out_msgs: number }
  return messages
}
