import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import type { Client } from '../client/index.ts'
import { run } from './support/command.ts'
import { TestCluster, type Cleanup } from './support/im-cluster.ts'
import { waitFor, type PodObject } from './support/kubernetes.ts'
import { killContainer } from './support/operator.ts'
import { waitForNoDeadSession } from './support/sessions.ts'
import { openClient, reachable, urls } from './support/traffic.ts'

/** From the proof on: the lease has run out, and the pod or container is gone. */
const CLEAN_WITHIN_MS = 10_000
const LEASE_MS = 6_000

describe('what a dead gateway leaves', () => {
  let cluster: TestCluster
  const clients: Client[] = []
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ ...reachable, replicas: 3 })
    await cluster.waitUntilSettled(3)
  })
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()))
    await cluster.waitUntilSettled(3)
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  /** Users whose sessions end abruptly with their gateway: their clients go with it. */
  async function login(users: number): Promise<void> {
    const opened = Array.from({ length: users }, (_, at) =>
      openClient(cluster, `user-${at}`, at % 2 === 0 ? urls.tcp : urls.websocket),
    )
    clients.push(...(await Promise.all(opened)))
  }

  async function pod(name: string): Promise<PodObject> {
    const found = await cluster.kubectl.get<PodObject>('pod', name)
    assert.ok(found, `pod ${name}`)
    return found
  }

  function assertNoDeadSession(): Promise<void> {
    return waitForNoDeadSession(cluster, ['im-0', 'im-1', 'im-2'], CLEAN_WITHIN_MS)
  }

  function cleanupOf(podUid: string, timeoutMs: number): Promise<Cleanup> {
    return waitFor(`a cleanup of pod ${podUid}`, timeoutMs, async () =>
      (await cluster.read()).status?.cleanups.find((cleanup) => cleanup.podUid === podUid),
    )
  }

  test('a pod deleted by force: its sessions are removed, with pod and lease as proof, and clients go on', async () => {
    await login(12)
    const before = await pod('im-1')
    // The kubelet kills the process at once; without that, grace 0 only forgets the pod.
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--force', '--grace-period=0'])
    const cleanup = await cleanupOf(before.metadata.uid, LEASE_MS + CLEAN_WITHIN_MS + 30_000)
    assert.match(cleanup.proof.pod, /^Pod(Gone|Replaced)$/)
    assert.equal(cleanup.orphansLeft, 0)
    await assertNoDeadSession()
    await Promise.all(clients.map((client) => client.ready({ timeoutMs: 60_000 })))
  })

  test('a pod deleted in good order leaves nothing to clean', async () => {
    await login(12)
    const before = await pod('im-1')
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--wait=true'], { timeoutMs: 90_000 })
    await waitFor(
      'the successor',
      90_000,
      async () => (await pod('im-1').catch(() => before)).metadata.uid !== before.metadata.uid,
    )
    await cluster.waitUntilSettled(3)
    await assertNoDeadSession()
  })

  test('a container that crashed in its pod: the new process of the same pod keeps its own sessions', async () => {
    await login(12)
    const before = await pod('im-1')
    await killContainer(cluster.kubectl, 'im-1', 'KILL')
    await waitFor('the restart', 60_000, async () => {
      const { metadata, status } = await pod('im-1')
      assert.equal(metadata.uid, before.metadata.uid)
      return status.containerStatuses?.some(({ restartCount, ready }) => restartCount > 0 && ready)
    })
    await assertNoDeadSession()
    await Promise.all(clients.map((client) => client.ready({ timeoutMs: 60_000 })))
  })

  test('3 to 2 to 3 within a second: nothing living is removed, nothing dead is left', async () => {
    await login(12)
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=2'])
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=3'])
    await cluster.waitUntilSettled(3)
    await assertNoDeadSession()
    await Promise.all(clients.map((client) => client.ready({ timeoutMs: 60_000 })))
    for (const [at, client] of clients.entries()) {
      const sent = await client.send(`user-${(at + 1) % clients.length}`, 'still here')
      assert.ok(sent.seq > 0)
    }
  })

  test('a node whose kubelet stopped is no proof: its gateway goes on, and none of its sessions is removed', async () => {
    await login(12)
    const { spec } = await pod('im-1')
    const node = spec.nodeName ?? ''
    const before = await cluster.sessionsOf('im-1')
    const cleanups = (await cluster.read()).status?.cleanups.length ?? 0
    await run('docker', ['exec', node, 'systemctl', 'stop', 'kubelet'])
    try {
      await waitFor(`node ${node} to be not ready`, 120_000, async () =>
        /NotReady/.test(await run('kubectl', ['get', 'node', node, '--no-headers'])),
      )
      assert.deepEqual(await cluster.sessionsOf('im-1'), before)
      assert.equal((await cluster.read()).status?.cleanups.length, cleanups)
    } finally {
      await run('docker', ['exec', node, 'systemctl', 'start', 'kubelet'])
    }
    await waitFor(`node ${node} to be ready`, 60_000, async () =>
      /\bReady\b/.test(await run('kubectl', ['get', 'node', node, '--no-headers'])),
    )
  })
})
