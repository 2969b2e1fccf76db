import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { after, before, describe, test } from 'node:test'
import { run } from '../test/kit/kubernetes/command.ts'
import { extractFormerRelease, formerImage, lacksFormerRelease } from './support/former-release.ts'
import { deleteCrd, installOperator, uninstallOperator } from './support/helm.ts'
import { gatewayImage } from '../test/kit/kubernetes/im-cluster.ts'
import { waitFor, type KubeObject } from '../test/kit/kubernetes/kubernetes.ts'
import { operatorPods } from '../test/kit/kubernetes/operator.ts'
import { openClient, Traffic, urls } from '../test/kit/kubernetes/traffic.ts'
import { ReleaseCluster } from './support/release-cluster.ts'

/** Of users who write to each other. */
const PAIRS = 4
const root = fileURLToPath(new URL('..', import.meta.url))

interface Crd extends KubeObject {
  readonly spec: { readonly versions: readonly object[] }
}

async function readCrd(): Promise<Crd> {
  return JSON.parse(await run('kubectl', ['get', 'crd', 'imclusters.imcluster.io', '-o', 'json'])) as Crd
}

/** What the API server makes of a CRD file, defaults filled in. */
async function expectCrd(folder: string): Promise<Crd> {
  const args = ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '-o', 'json', '-f', '-']
  const input = await readFile(`${folder}/crds/imcluster.yaml`, 'utf8')
  return JSON.parse(await run('kubectl', args, { input })) as Crd
}

const skip = await lacksFormerRelease(root)

describe('helm upgrade from the release before, with clients connected', { skip }, () => {
  let former: { folder: string } & AsyncDisposable
  let cluster: ReleaseCluster
  let traffic: Traffic
  before(async () => {
    former = await extractFormerRelease(root)
    await uninstallOperator()
    await deleteCrd()
    await installOperator(formerImage, former.folder)
    cluster = await ReleaseCluster.createOnServers()
    await cluster.install({ image: formerImage, folder: former.folder })
    await cluster.waitUntilSettled(2)
    traffic = await Traffic.start(cluster, PAIRS)
  })
  after(async () => {
    await traffic[Symbol.asyncDispose]()
    await installOperator(gatewayImage)
    await cluster[Symbol.asyncDispose]()
    await former[Symbol.asyncDispose]()
  })

  const uidsOf = (objects: readonly KubeObject[]) => objects.map(({ metadata }) => metadata.uid).toSorted()

  async function imagesOfGateways(): Promise<Set<string>> {
    const selector = ['--selector', 'app.kubernetes.io/name=im-gateway']
    const path = 'jsonpath={.items[*].spec.containers[*].image}'
    const images = await cluster.kubectl.run(['get', 'pods', ...selector, '-o', path])
    return new Set(images.split(' '))
  }

  test('the operator first: it is another one, with its CRD, and no gateway is restarted', async () => {
    const gateways = uidsOf(await cluster.pods())
    const operators = uidsOf(await operatorPods())
    const { version } = JSON.parse(await readFile(`${root}package.json`, 'utf8')) as { version: string }
    assert.notEqual((await readCrd()).metadata.labels?.['helm.sh/chart'], `im-cluster-operator-${version}`)

    await installOperator(gatewayImage)
    const crd = await readCrd()
    assert.equal(crd.metadata.labels?.['helm.sh/chart'], `im-cluster-operator-${version}`)
    assert.deepEqual(crd.spec, (await expectCrd(root)).spec)

    await waitFor('the former operator to be gone', 60_000, async () =>
      uidsOf(await operatorPods()).every((uid) => !operators.includes(uid)),
    )
    // The new leader passes over the cluster, and lets its pods be: its answer to a change comes after that.
    await cluster.kubectl.run(['scale', 'imcluster', cluster.name, '--replicas=3'])
    await cluster.waitUntilSettled(3)
    const uids = uidsOf(await cluster.pods())
    assert.ok(
      gateways.every((uid) => uids.includes(uid)),
      'a gateway was restarted',
    )
    assert.deepEqual(await imagesOfGateways(), new Set([formerImage]))
    await traffic.flows()
  })

  test('then the cluster: its gateways are rolled out, and the key of tokens stays', async () => {
    const gateways = uidsOf(await cluster.pods())
    await cluster.upgrade({ replicas: 3 })
    await waitFor('the roll-out', 180_000, async () => {
      const uids = uidsOf(await cluster.pods())
      return uids.every((uid) => !gateways.includes(uid))
    })
    await cluster.waitUntilSettled(3)
    assert.deepEqual(await imagesOfGateways(), new Set([gatewayImage]))
    await traffic.flows()
    await using newcomer = await openClient(cluster, 'newcomer', urls.tcp)
    assert.equal((await newcomer.send('nobody', 'by the key of before')).seq, 1)
  })

  test('then every inbox that is written to becomes a list, as no gateway of the former release is left', async () => {
    await waitFor('an inbox of each recipient that is a list', 180_000, async () => {
      const lists = await cluster.redis('--scan', '--pattern', '*recipient-*:inbox:list')
      return lists.split('\n').filter((key) => key !== '').length === PAIRS
    })
    await traffic.flowsForAll()
  })

  test('no message was lost', async () => {
    const { messages } = await traffic.finish()
    assert.ok(messages > 0)
  })
})
