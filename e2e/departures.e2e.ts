import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connectTcp, type RawClient } from '../test/kit/raw-client.ts'
import { TestCluster, type Cleanup } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { killContainer, readOperatorMetric } from '../test/kit/kubernetes/operator.ts'

const CLIENTS = 3

interface NetworkPolicyObject extends KubeObject {
  readonly spec: { readonly policyTypes: readonly string[]; readonly ingress: readonly object[] }
}

describe('what becomes of clients that do not move, and of a policy that is asked for', () => {
  let cluster: TestCluster
  before(async () => {
    cluster = await TestCluster.prepare()
    await cluster.apply({ drain: { rate: 200, deadlineSeconds: 30, jitterSeconds: 0 } })
    await cluster.waitUntilSettled(2)
  })
  after(() => cluster[Symbol.asyncDispose]())

  /** Clients of a gateway that do not understand goAway. */
  async function connect(broker: string): Promise<AsyncDisposable> {
    await using stack = new AsyncDisposableStack()
    const forward = stack.use(await cluster.kubectl.forward(`pod/${broker}`, 9000))
    for (let at = 0; at < CLIENTS; at += 1) {
      const client: RawClient = stack.use(await connectTcp(`tcp://127.0.0.1:${forward.port}`))
      await client.login({ token: await cluster.token(`${broker}-${at}`), imei: 'stubborn' })
    }
    return stack.move()
  }
  const cutOffOf = (podUid: string) =>
    waitFor(`the record of ${podUid}`, 120_000, async () =>
      (await cluster.read()).status?.cleanups.find(
        (cleanup): cleanup is Cleanup => cleanup.podUid === podUid && cleanup.clientsCutOff !== undefined,
      ),
    )
  const uidOf = async (broker: string) => (await cluster.kubectl.get('pod', broker))?.metadata.uid ?? assert.fail()
  const counted = () =>
    readOperatorMetric('im_imcluster_drain_cut_clients_total', [`namespace="${cluster.kubectl.namespace}"`])

  test('those that are left at the deadline of a drain are counted, by record, Event and metric', async () => {
    await cluster.apply({ drain: { rate: 200, deadlineSeconds: 2, jitterSeconds: 0 } })
    await cluster.waitUntilSettled(2)
    assert.equal(await counted(), 0)
    await using _clients = await connect('im-1')
    const uid = await uidOf('im-1')
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--wait=false'])
    const { clientsCutOff, proof } = await cutOffOf(uid)
    assert.deepEqual([clientsCutOff, proof.lease], [CLIENTS, 'LeaseReleased'])
    await told(/^im-1 left and cut off 3 clients: they had not moved within 2 s, at 200 a second; raise/)
    assert.equal(await counted(), CLIENTS)
  })

  test('those of a gateway that is killed while it drains are, too', async () => {
    await cluster.apply({ drain: { rate: 200, deadlineSeconds: 60, jitterSeconds: 0 } })
    await cluster.waitUntilSettled(2)
    await using _clients = await connect('im-1')
    const uid = await uidOf('im-1')
    await waitFor(
      'the connections in the status',
      60_000,
      async () => (await cluster.read()).status?.connections === CLIENTS,
    )
    await cluster.kubectl.run(['delete', 'pod', 'im-1', '--wait=false'])
    await waitFor('the status to show that it drains', 60_000, async () =>
      (await cluster.read()).status?.brokers.some(({ podUid, state }) => podUid === uid && state === 'draining'),
    )
    await killContainer(cluster.kubectl, 'im-1', 'KILL')
    const { clientsCutOff, proof } = await cutOffOf(uid)
    assert.equal(clientsCutOff, CLIENTS)
    // Its successor may have the lease by then.
    assert.match(proof.lease, /^Lease(Expired|OfAnotherBoot)$/)
    await told(/^im-1 left and cut off 3 clients: it was ended before its drain was over/)
  })

  test('a NetworkPolicy is there when it is asked for, comes back when it is deleted, and goes with the wish', async () => {
    const policy = () => cluster.kubectl.get<NetworkPolicyObject>('networkpolicy', 'im')
    assert.equal(await policy(), undefined)
    const before = (await cluster.pods()).map(({ metadata }) => metadata.uid)
    const egress = [{ ports: [{ port: 6379 }, { port: 4222, protocol: 'TCP' }] }]
    await cluster.kubectl.patch('imcluster', 'im', { spec: { networkPolicy: { enabled: true, egress } } })
    const first = await waitFor('the policy', 60_000, policy)
    assert.deepEqual([first.spec.policyTypes, first.spec.ingress.length], [['Ingress', 'Egress'], 2])
    await cluster.kubectl.run(['delete', 'networkpolicy', 'im'])
    await waitFor('another', 60_000, async () => (await policy())?.metadata.uid !== first.metadata.uid)
    const { resourceVersion } = (await policy())?.metadata ?? assert.fail()
    await cluster.waitUntilSettled(2)
    assert.deepEqual(
      (await cluster.pods()).map(({ metadata }) => metadata.uid),
      before,
      'no gateway is started anew for it',
    )
    assert.equal((await policy())?.metadata.resourceVersion, resourceVersion, 'and it is not written again and again')
    await cluster.kubectl.patch('imcluster', 'im', { spec: { networkPolicy: { enabled: false, egress: null } } })
    await waitFor('the end of the policy', 60_000, async () => (await policy()) === undefined)
  })

  /** Waits for the warning that says so. */
  async function told(words: RegExp): Promise<void> {
    const jsonpath = '{range .items[?(@.reason=="DrainCutClients")]}{.type} {.note}{"\\n"}{end}'
    await waitFor(`the Event ${String(words)}`, 60_000, async () => {
      const text = await cluster.kubectl.run(['get', 'events.events.k8s.io', '-o', `jsonpath=${jsonpath}`])
      return text.split('\n').some((line) => line.startsWith('Warning ') && words.test(line.slice('Warning '.length)))
    })
  }
})
