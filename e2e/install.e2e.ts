import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { readClientPod, startClientPod } from './support/client-pod.ts'
import { deleteCrd, installOperator, uninstallOperator } from './support/helm.ts'
import { gatewayImage } from '../test/kit/kubernetes/im-cluster.ts'
import { system } from '../test/kit/kubernetes/operator.ts'
import { openClient, urls } from '../test/kit/kubernetes/traffic.ts'
import { ReleaseCluster } from './support/release-cluster.ts'

/** The measure, with the image on the nodes. */
const FIRST_MESSAGE_MS = 60_000
const DEADLINE_MS = 120_000

describe('helm install, from nothing', () => {
  let cluster: ReleaseCluster
  before(async () => {
    await uninstallOperator()
    await deleteCrd()
    cluster = await ReleaseCluster.createTryout()
  })
  after(async () => {
    await installOperator(gatewayImage)
    await cluster[Symbol.asyncDispose]()
  })

  test('two commands later the first message arrives, within a minute', async (t) => {
    const started = performance.now()
    await installOperator(gatewayImage)
    await cluster.install()
    await using bob = await openClient(cluster, 'bob', urls.tcp)
    await using alice = await openClient(cluster, 'alice', urls.websocket)
    const arrived = new Promise<string>((resolve) => {
      bob.on('message', (message) => resolve(message.text()))
    })
    await alice.send('bob', 'hello')
    assert.equal(await arrived, 'hello')
    const tookMs = performance.now() - started
    t.diagnostic(`first message ${(tookMs / 1000).toFixed(1)} s after the first helm install`)
    assert.ok(tookMs < FIRST_MESSAGE_MS)
  })

  test('clients inside Kubernetes write to each other, too', async () => {
    const host = `im.${cluster.kubectl.namespace}`
    const [carol, dave] = await Promise.all(['carol', 'dave'].map((user) => cluster.token(user)))
    const listen = ['listen', '--url', `tcp://${host}:9000`, '--count=1']
    const send = ['send', '--url', `ws://${host}:8080`, '--timeout=60s', '--to=carol', 'from dave']
    await startClientPod(cluster.kubectl, 'carol', carol ?? '', listen)
    await startClientPod(cluster.kubectl, 'dave', dave ?? '', send)
    assert.equal(await readClientPod(cluster.kubectl, 'dave', DEADLINE_MS), '1\n')
    const message = JSON.parse(await readClientPod(cluster.kubectl, 'carol', DEADLINE_MS)) as Record<string, unknown>
    assert.deepEqual([message['from'], message['payload']], ['dave', 'from dave'])
  })

  test('every pod keeps to the Pod Security level restricted', async () => {
    await cluster.waitUntilSettled(2)
    for (const { namespace } of [cluster.kubectl, system]) {
      // The API server looks at the pods that are there, and warns of those that breach the level.
      const label = `kubectl label namespace ${namespace} pod-security.kubernetes.io/enforce=restricted`
      const answer = await run('sh', ['-c', `${label} --overwrite --dry-run=server 2>&1`])
      assert.doesNotMatch(answer, /Warning/)
    }
  })

  test('no pod of it had to be started twice', async () => {
    for (const kubectl of [cluster.kubectl, system]) {
      const restarts = await kubectl.run([
        'get',
        'pods',
        '-o',
        'jsonpath={.items[*].status.containerStatuses[*].restartCount}',
      ])
      assert.match(restarts, /^0( 0)+$/, kubectl.namespace)
    }
  })
})
