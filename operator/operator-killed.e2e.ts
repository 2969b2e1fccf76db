// kill -9 after each single write, to the API server or to Redis, and another operator that goes on from there.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test, type TestContext } from 'node:test'
import type { Child } from '../test/kit/servers/child.ts'
import { RedisProxy } from '../test/kit/redis-proxy.ts'
import type { Cleanup, TestCluster } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor } from '../test/kit/kubernetes/kubernetes.ts'
import { openClient, reachable, Traffic, urls } from '../test/kit/kubernetes/traffic.ts'
import { devicePolicies } from '../session/device-policy.ts'
import { Directory } from '../session/directory.ts'
import { Keys } from '../session/keys.ts'
import { BrokerLease } from '../session/brokers/lease.ts'
import { awaitReady, closeRedis, connectRedis, type RedisClient } from '../session/redis/redis.ts'
import { startFaultProxy } from '../controller/test-kit.ts'
import { OperatorBench } from './test-operator.ts'

/** More than any of the tests needs: a test ends when an operator has got through without so many writes. */
const MAX_WRITES = 40
const SESSIONS = 2

describe('an operator killed after any of its writes', () => {
  let bench: OperatorBench
  let cluster: TestCluster
  let redis: RedisClient
  /** The operator's way to Redis where no gateway needs it. */
  let redisProxy: RedisProxy
  let config: Parameters<OperatorBench['startOperator']>[1]
  let operator: Child | undefined
  let starts = 0
  let deadBootId = 'none yet'
  /** Writes of the operator that runs, in their order; the kill comes after so many. */
  let writes: string[] = []
  let killAfter = Infinity
  const stack = new AsyncDisposableStack()

  before(async () => {
    bench = stack.use(await OperatorBench.start())
    cluster = bench.cluster
    const faults = await startFaultProxy(1)
    config = faults.config
    stack.use(faults.proxy).onWritten = (write) => written(write.replaceAll(cluster.kubectl.namespace, '…'))
    redisProxy = stack.use(await RedisProxy.start(bench.redisUrl))
    redisProxy.onWrite = (command) => !isOfNow(command) || written(describeCommand(command))
    redis = connectRedis(bench.redisUrl, { connectionName: 'test', commandTimeoutMs: 5_000, onError: () => undefined })
    await awaitReady(redis, 30_000)
    stack.defer(() => closeRedis(redis))
  })
  after(async () => {
    await stack.disposeAsync()
  })

  /** Returns whether the operator may go on. */
  function written(write: string): boolean {
    if (writes.length >= killAfter) return false
    writes.push(write)
    if (writes.length < killAfter) return true
    operator?.kill('SIGKILL')
    return false
  }

  /** Whether a command is about the dead gateway of this round, or the cluster; others wait for their last pass still. */
  function isOfNow(command: readonly string[]): boolean {
    // Each pass makes the claim last; that changes nothing else.
    if (command[0]?.toLowerCase() === 'pexpire') return false
    // It reads, which only its flag says.
    if (command[1]?.includes('find_own') === true) return false
    return command.some((arg) => arg.includes(deadBootId) || arg.endsWith(':clusters'))
  }

  /** Starts one, unless one runs. */
  async function startOperator(): Promise<void> {
    killAfter = Infinity
    if (operator?.running === true) return
    starts += 1
    operator = await bench.startOperator(`operator-${starts}`, config)
  }

  /**
   * Lets `step` happen again and again, its operator killed after the first write, then after the second, until one got
   * through; each time the next operator ends what is to be done, as `check` finds.
   */
  async function killAtEachWrite(
    t: TestContext,
    prepare: () => Promise<void>,
    step: () => Promise<unknown>,
    check: () => Promise<void>,
  ): Promise<void> {
    for (let at = 1; at <= MAX_WRITES; at += 1) {
      await prepare()
      writes = []
      killAfter = at
      await step()
      const isKilled = () => writes.length >= killAfter
      await waitFor('the kill, or the end', 60_000, async () => {
        if (!isKilled()) await check()
        return true
      })
      if (!isKilled()) {
        killAfter = Infinity
        t.diagnostic(`${at - 1} kills, one after each of: ${writes.join(', ')}`)
        assert.ok(at > 1, 'an operator was killed')
        return
      }
      const last = writes.at(-1)
      await operator?.exited
      await startOperator()
      await waitFor(`the end after a kill at write ${at}, ${last}`, 60_000, async () => {
        await check()
        return true
      })
    }
    assert.fail(`more than ${MAX_WRITES} writes: ${writes.join(', ')}`)
  }

  const withGateways = (replicas: number) => ({
    ...reachable,
    replicas,
    redis: { url: bench.redisUrl },
    drain: { rate: 200, deadlineSeconds: 5, jitterSeconds: 0 },
  })

  const withoutGateways = () => ({ replicas: 0, redis: { url: redisProxy.url } })

  async function recordsOf(isOf: (cleanup: Cleanup) => boolean): Promise<Cleanup[]> {
    return ((await cluster.read()).status?.cleanups ?? []).filter(isOf)
  }

  test('of a scale-down: it ends with one gateway, one record, no session left and no message lost', async (t) => {
    await startOperator()
    await cluster.apply(withGateways(1))
    await cluster.waitUntilSettled(1)
    await using traffic = await Traffic.start(cluster, 2)
    let podUid = ''
    await killAtEachWrite(
      t,
      async () => {
        await cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=2'])
        await cluster.waitUntilSettled(2)
        podUid = (await cluster.kubectl.get('pod', 'im-1'))?.metadata.uid ?? ''
        await using clients = new AsyncDisposableStack()
        await waitFor('a client at im-1', 60_000, async () => {
          const client = await openClient(cluster, `user-${randomUUID()}`, urls.websocket)
          clients.defer(() => client.close())
          return (await cluster.sessionsOf('im-1')).length > 0
        })
      },
      () => cluster.kubectl.run(['scale', 'imcluster', 'im', '--replicas=1']),
      async () => {
        const records = await recordsOf((cleanup) => cleanup.podUid === podUid)
        assert.deepEqual([records.length, records[0]?.orphansLeft], [1, 0])
        assert.deepEqual(await cluster.sessionsOf('im-1'), [])
        assert.equal((await cluster.pods()).length, 1)
        const { status, metadata } = await cluster.read()
        assert.equal(status?.observedGeneration, metadata.generation)
        assert.ok(status?.conditions.some(({ type, status: is }) => type === 'Progressing' && is === 'False'))
      },
    )
    await traffic.flows()
    await traffic.finish()
  })

  /** A gateway that died in a pod that is gone, with sessions that are all there still. */
  async function leaveDeadBroker(): Promise<void> {
    const keys = new Keys()
    const broker = { brokerId: 'im-7', podUid: randomUUID(), bootId: randomUUID(), host: '10.0.0.7', startedAt: 1 }
    const lease = new BrokerLease(redis, keys, broker)
    await lease.acquire()
    const directory = new Directory(redis, keys, devicePolicies.unlimited)
    for (let at = 0; at < SESSIONS; at += 1) {
      const { brokerId, host: brokerHost } = broker
      const incarnation = `${broker.podUid}/${broker.bootId}`
      const device = { appId: 1, userId: `${broker.bootId}-${at}`, clientType: 1, imei: 'e2e', version: '1' }
      await directory.login({ ...device, brokerId, brokerHost, incarnation, connectionId: randomUUID() })
    }
    deadBootId = broker.bootId
    await lease.release()
  }

  test('of a cleanup: every session is removed, once recorded, without an orphan', async (t) => {
    await startOperator()
    await cluster.apply(withoutGateways())
    await cluster.waitUntilSettled(0)
    await killAtEachWrite(
      t,
      () => Promise.resolve(),
      async () => {
        await leaveDeadBroker()
        await cluster.kubectl.run(['annotate', 'imcluster', 'im', `look=${deadBootId}`, '--overwrite'])
      },
      async () => {
        assert.deepEqual(await cluster.sessionsOf('im-7'), [])
        const records = await recordsOf((cleanup) => cleanup.bootId === deadBootId)
        const [record] = records
        assert.deepEqual([records.length, record?.sessionsRemoved, record?.orphansLeft], [1, SESSIONS, 0])
      },
    )
  })

  test('of a deletion: nothing is left in Redis, and the ImCluster is gone', async (t) => {
    await startOperator()
    await killAtEachWrite(
      t,
      async () => {
        await cluster.apply(withoutGateways())
        await cluster.waitUntilSettled(0)
      },
      async () => {
        await leaveDeadBroker()
        await cluster.kubectl.run(['delete', 'imcluster', 'im', '--wait=false'])
      },
      async () => {
        assert.equal(await cluster.kubectl.get('imcluster', 'im'), undefined)
        assert.equal(await cluster.kubectl.get('statefulset', 'im'), undefined)
        const left = (await cluster.redis('KEYS', '*')).split('\n')
        assert.deepEqual(
          left.filter((key) => /brokers|clusters|broker:|sessions$/.test(key)),
          [],
        )
      },
    )
  })
})

/** Without ids: a function by its name, and the key. */
function describeCommand([name = '', ...args]: readonly string[]): string {
  if (name.toLowerCase() !== 'fcall') return name
  const [fullName = '', , key = ''] = args
  if (fullName.includes('note_removed')) return 'note-removed'
  return fullName.includes('clean_sessions') ? 'clean-sessions' : `swap-field ${key}`
}
