import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test, type TestContext } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { readProcess, timeCleanup, type GatewayProcess } from './support/death.ts'
import { TestCluster, type Cleanup } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type PodObject } from '../test/kit/kubernetes/kubernetes.ts'
import { killContainer, readOperatorMetric } from '../test/kit/kubernetes/operator.ts'
import { RawDevices } from './support/raw-devices.ts'
import { waitForNoDeadSession } from './support/sessions.ts'
import { reachable, Traffic } from '../test/kit/kubernetes/traffic.ts'

/** From the proof on: the lease has run out, and the pod or container is gone. */
const CLEAN_WITHIN_MS = 10_000
const GATEWAYS = ['im-0', 'im-1', 'im-2']

describe('what a dead gateway leaves', () => {
  let cluster: TestCluster
  let traffic: Traffic
  let devices: RawDevices
  before(async () => {
    cluster = await TestCluster.prepare()
    // Raw devices do not heed a drain: it lasts until its deadline.
    await cluster.apply({ ...reachable, replicas: 3, drain: { rate: 200, deadlineSeconds: 5, jitterSeconds: 1 } })
    await cluster.waitUntilSettled(3)
    traffic = await Traffic.start(cluster)
    devices = new RawDevices(cluster)
  })
  afterEach(async () => {
    await devices[Symbol.asyncDispose]()
    await cluster.waitUntilSettled(3)
    await traffic.flows()
  })
  after(async () => {
    await traffic.finish()
    await traffic[Symbol.asyncDispose]()
    await cluster[Symbol.asyncDispose]()
  })

  /** Devices at every gateway. Returns im-1, which is about to die, and the sessions of raw devices at the others. */
  async function prepare(): Promise<{ process: GatewayProcess; sessions: number; living: string[] }> {
    await devices.spreadOver(GATEWAYS)
    const sessions = (await rawSessions(['im-1'])).length
    return { process: await readProcess(cluster, 'im-1'), sessions, living: await rawSessions(['im-0', 'im-2']) }
  }

  async function rawSessions(brokerIds: readonly string[]): Promise<string[]> {
    const sessions = await Promise.all(brokerIds.map((brokerId) => cluster.sessionsOf(brokerId)))
    return sessions.flat().filter((place) => place.includes(':device-'))
  }

  /** In time, and without touching a session of a gateway that lives. */
  async function assertCleaned(t: TestContext, process: GatewayProcess, living: readonly string[]): Promise<void> {
    const ms = await timeCleanup(cluster, process, 90_000)
    t.diagnostic(`dead sessions gone ${(ms / 1000).toFixed(1)} s after the proof`)
    assert.ok(ms < CLEAN_WITHIN_MS, `${ms} ms`)
    assert.deepEqual(await rawSessions(['im-0', 'im-2']), living)
  }

  function readRecord({ bootId }: GatewayProcess): Promise<Cleanup> {
    return waitFor(`a record of boot ${bootId}`, 60_000, async () =>
      (await cluster.read()).status?.cleanups.find((cleanup) => cleanup.bootId === bootId),
    )
  }

  function waitForSuccessor({ podUid }: GatewayProcess): Promise<boolean> {
    return waitFor('the successor', 90_000, async () => {
      const pod = await cluster.kubectl.get<PodObject>('pod', 'im-1')
      return pod !== undefined && pod.metadata.uid !== podUid
    })
  }

  test('a pod deleted by force: its sessions are removed, with proof, recorded in status, Event and metrics', async (t) => {
    const { process, sessions, living } = await prepare()
    const removedBefore = await readOperatorMetric('im_operator_sessions_removed_total')
    // The process is killed before its drain, which the raw devices hold up, has taken the sessions along.
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--force', '--grace-period=0'])
    await assertCleaned(t, process, living)

    const record = await readRecord(process)
    assert.match(record.proof.pod, /^Pod(Gone|Replaced)$/)
    assert.match(record.proof.lease, /^Lease(Expired|OfAnotherBoot)$/)
    assert.deepEqual([record.podUid, record.orphansLeft], [process.podUid, 0])
    assert.ok(record.sessionsRemoved >= sessions, `${record.sessionsRemoved} of at least ${sessions}`)

    const note = await waitFor('the Event', 30_000, async () => {
      const args = ['get', 'events.events.k8s.io', '-o', 'jsonpath={range .items[*]}{.reason} {.note}{"\\n"}{end}']
      const notes = (await cluster.kubectl.run(args)).split('\n')
      return notes.find((line) => line.startsWith('SessionsCleaned') && line.includes(process.bootId))
    })
    for (const part of [process.podUid, record.proof.pod, record.proof.lease, `${record.sessionsRemoved} sessions`]) {
      assert.ok(note.includes(part), `${part} in: ${note}`)
    }
    const removed = (await readOperatorMetric('im_operator_sessions_removed_total')) - removedBefore
    assert.ok(removed >= sessions, `${removed} removed by the metric`)
    assert.equal(await readOperatorMetric('im_operator_orphan_sessions_total'), 0)
  })

  test('a pod deleted in good order takes its sessions with it, and that is recorded', async (t) => {
    const { process, living } = await prepare()
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--wait=true'], { timeoutMs: 90_000 })
    await assertCleaned(t, process, living)
    const { proof, sessionsRemoved, orphansLeft } = await readRecord(process)
    assert.deepEqual([proof.lease, sessionsRemoved, orphansLeft], ['LeaseReleased', 0, 0])
    await waitForSuccessor(process)
  })

  test('a container that crashed in its pod: the new process of the same pod keeps its own sessions', async (t) => {
    const { process, living } = await prepare()
    await killContainer(cluster.kubectl, 'im-1', 'KILL')
    await assertCleaned(t, process, living)
    const pod = await waitFor('the restart', 60_000, async () => {
      const found = await cluster.kubectl.get<PodObject>('pod', 'im-1')
      return found?.status.containerStatuses?.some(({ restartCount, ready }) => restartCount > 0 && ready) && found
    })
    assert.equal(pod.metadata.uid, process.podUid)
  })

  test('3 to 2 to 3 within a second: nothing living is removed, nothing dead is left', async () => {
    await devices.spreadOver(GATEWAYS)
    const living = await rawSessions(['im-0', 'im-1'])
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=2'])
    await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=3'])
    await cluster.waitUntilSettled(3)
    await waitForNoDeadSession(cluster, GATEWAYS, CLEAN_WITHIN_MS)
    assert.deepEqual(await rawSessions(['im-0', 'im-1']), living)
  })

  test('a stopped kubelet proves nothing: the dead there wait for proof, the living go on', async (t) => {
    const { process, living } = await prepare()
    const node = (await cluster.kubectl.get<PodObject>('pod', 'im-1'))?.spec.nodeName ?? ''
    const isNodeReady = async () => (await run('kubectl', ['get', 'node', node, '--no-headers'])).split(/\s+/)[1]
    const dead = await rawSessions(['im-1'])
    await run('docker', ['exec', node, 'systemctl', 'stop', 'kubelet'])
    try {
      await killContainer(cluster.kubectl, 'im-1', 'KILL')
      const { status } = await cluster.waitForCondition('Degraded', 'True', 60_000, 'GatewayLost')
      assert.match(status?.conditions.find(({ type }) => type === 'Degraded')?.message ?? '', /im-1: its lease ran out/)
      await waitFor('the node to be not ready', 120_000, async () => (await isNodeReady()) === 'NotReady')
      assert.deepEqual(await rawSessions(['im-1']), dead, 'no proof, no cleanup')
      assert.deepEqual(await rawSessions(['im-0', 'im-2']), living)
    } finally {
      await run('docker', ['exec', node, 'systemctl', 'start', 'kubelet'])
    }
    await assertCleaned(t, process, living)
    await waitFor('the node to be ready', 60_000, async () => (await isNodeReady()) === 'Ready')
    await cluster.waitForCondition('Degraded', 'False', 60_000)
  })
})
