import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls, setDefaultCACertificates } from 'node:tls'
import { createAuthority, type CertificatePair } from '../test/kit/certificate.ts'
import type { Client } from '../client/index.ts'
import { run } from '../test/kit/kubernetes/command.ts'
import { TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { startStopwatch } from './support/stopwatch.ts'
import { openClient, reachable, urls } from '../test/kit/kubernetes/traffic.ts'

/** The kubelet looks at mounted Secrets about once a minute, and may use what it has cached for another. */
const KUBELET_MS = 150_000
const REPLICAS = 2
const secureUrls = { tls: urls.tcp.replace('tcp:', 'tls:'), wss: urls.websocket.replace('ws:', 'wss:') }

describe('TLS with a certificate that is replaced', () => {
  const authority = createAuthority()
  const [first, second, third] = [authority.issue('first'), authority.issue('second'), authority.issue('third')]
  const stack = new AsyncDisposableStack()
  let cluster: TestCluster
  let alice: Client
  let bob: Client
  let podsBefore: readonly string[]
  const received: string[] = []
  let disconnects = 0

  before(async () => {
    // The only way to tell Node's WebSocket; nothing else is trusted.
    setDefaultCACertificates([authority.cert])
    cluster = stack.use(await TestCluster.prepare())
    await writeSecret(first)
    await cluster.apply({ ...reachable, replicas: REPLICAS, listeners: { tls: { secretName: 'tls' } } })
    await cluster.waitUntilSettled(REPLICAS)
    podsBefore = await describePods()
  })
  after(async () => {
    await stack.disposeAsync()
  })

  test('clients connect over tls:// and wss://, and verify who answers', async () => {
    alice = stack.use(await openClient(cluster, 'alice', secureUrls.tls))
    bob = stack.use(await openClient(cluster, 'bob', secureUrls.wss))
    for (const client of [alice, bob]) {
      client.on('message', (message) => void received.push(message.text()))
      client.on('disconnected', () => (disconnects += 1))
    }
    await exchange('with the first certificate')
    assert.equal(await seeSerial(secureUrls.tls), serialOf(first))
    await assert.rejects(seeSerial(secureUrls.tls, createAuthority('another').cert), /certificate/)
  })

  test('a new certificate in the Secret is shown to new connections; others go on', async (t) => {
    const lap = startStopwatch(t)
    await writeSecret(second)
    await waitForReloads('ok', 1)
    lap('from the Secret to every gateway')
    for (const url of Object.values(secureUrls)) assert.equal(await seeSerial(url), serialOf(second))
    await using carol = await openClient(cluster, 'carol', secureUrls.wss)
    assert.ok(carol.connected)
    await exchange('with the first certificate still')
  })

  test('a certificate that does not fit its key is refused, counted, and replaced by a good one', async (t) => {
    const lap = startStopwatch(t)
    await writeSecret({ cert: third.cert, key: first.key })
    await hurryKubelets()
    await waitForReloads('failed', 1)
    lap('from the Secret to every gateway, its kubelet told to look')
    for (const url of Object.values(secureUrls)) assert.equal(await seeSerial(url), serialOf(second))
    await exchange('with a bad pair in the Secret')
    await writeSecret(third)
    await hurryKubelets()
    await waitForReloads('ok', 2)
    for (const url of Object.values(secureUrls)) assert.equal(await seeSerial(url), serialOf(third))
    await exchange('at the end')
  })

  test('through all this no pod and no connection was replaced', async () => {
    assert.deepEqual(await describePods(), podsBefore)
    assert.equal(disconnects, 0)
  })

  async function writeSecret({ cert, key }: CertificatePair): Promise<void> {
    const stringData = { 'tls.crt': cert, 'tls.key': key }
    await cluster.kubectl.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'tls' },
      type: 'kubernetes.io/tls',
      stringData,
    })
  }

  /** A kubelet looks at what a pod mounts whenever the pod changes. */
  async function hurryKubelets(): Promise<void> {
    const selector = 'app.kubernetes.io/name=im-gateway'
    await cluster.kubectl.run(['annotate', 'pods', '--overwrite', '--selector', selector, `looked-at=${Date.now()}`])
  }

  /** Waits until every gateway has tried so many new certificates with this result. */
  async function waitForReloads(result: 'ok' | 'failed', count: number): Promise<void> {
    await waitFor(`${count} reloads with the result ${result}`, KUBELET_MS, async () => {
      for (const { metadata } of await cluster.pods()) {
        const path = `/api/v1/namespaces/${cluster.kubectl.namespace}/pods/${metadata.name}:9090/proxy/metrics`
        const metrics = await run('kubectl', ['get', '--raw', path])
        const found = new RegExp(`^im_tls_reloads_total\\{result="${result}"\\} (\\d+)`, 'm').exec(metrics)
        if (Number(found?.[1] ?? 0) < count) return false
      }
      return true
    })
  }

  /** Both connections of the start work. */
  async function exchange(text: string): Promise<void> {
    await alice.send('bob', `${text}: to bob`)
    await bob.send('alice', `${text}: to alice`)
    const wanted = [`${text}: to alice`, `${text}: to bob`]
    await waitFor('both messages', 30_000, () => Promise.resolve(wanted.every((message) => received.includes(message))))
  }

  async function describePods(): Promise<string[]> {
    return (await cluster.pods()).map(({ metadata, status }) => {
      const restarts = status.containerStatuses?.map(({ restartCount }) => restartCount)
      return `${metadata.name} ${metadata.uid} ${String(restarts)}`
    })
  }
})

/** The serial number of the certificate that a new connection gets, after it was verified. */
async function seeSerial(url: string, ca?: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connectTls({ host: hostname, port: Number(port), ...(ca !== undefined && { ca }) })
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(10_000) })
    return socket.getPeerCertificate().serialNumber
  } finally {
    socket.destroy()
  }
}

function serialOf({ cert }: CertificatePair): string {
  return new X509Certificate(cert).serialNumber
}
