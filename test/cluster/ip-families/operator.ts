// node operator.ts <address of the API server> [<another address of the operator>]: run in a network of its own
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createCertificateFiles } from '../../kit/certificate.ts'
import { startChild } from '../../kit/servers/child.ts'
import { findFreePort } from '../../kit/servers/free-port.ts'
import { until } from '../../kit/wait.ts'

const [host = '', ...others] = process.argv.slice(2)
const bracket = (address: string) => (address.includes(':') ? `[${address}]` : address)

await using stack = new AsyncDisposableStack()
const { cert, key, directory } = stack.use(await createCertificateFiles())

// Enough of an API server for the operator to start: the CRD is there. All else it is left to wait for.
const asked: unknown[] = []
const api = createServer({ cert, key }, (request, response) => {
  asked.push(request.headers.host)
  if (!request.url?.includes('/imclusters')) return
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ kind: 'ImClusterList', metadata: { resourceVersion: '1' }, items: [] }))
})
await once(api.listen(0, host), 'listening')
stack.defer(() => {
  api.close()
  api.closeAllConnections()
})
const server = `${bracket(host)}:${(api.address() as AddressInfo).port}`
const kubeconfig = join(directory, 'kubeconfig')
const context = { name: 'a', context: { cluster: 'a', user: 'a' } }
const authority = { 'certificate-authority-data': Buffer.from(cert).toString('base64') }
const clusters = [{ name: 'a', cluster: { server: `https://${server}`, ...authority } }]
const config = { clusters, contexts: [context], users: [{ name: 'a', user: {} }], 'current-context': 'a' }
await writeFile(kubeconfig, JSON.stringify(config))

const port = await findFreePort()
const operator = stack.use(
  await startChild(process.execPath, [fileURLToPath(new URL('../../../operator/main.ts', import.meta.url))], {
    name: 'operator',
    env: { ...process.env, IM_OPERATOR_KUBECONFIG: kubeconfig, IM_OPERATOR_ADMIN_PORT: String(port) },
  }),
)
for (const at of [host, ...others]) {
  await until(`the operator to be ready at ${at}`, async () => {
    if (!operator.running) throw operator.describe('ended')
    return (await fetch(`http://${bracket(at)}:${port}/readyz`)).ok
  })
}
assert.equal(asked[0], server)
