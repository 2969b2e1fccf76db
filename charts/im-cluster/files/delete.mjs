// Deletes an ImCluster and waits until the operator has taken it down: node delete.mjs <namespace> <name> <seconds>
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const [, , namespace, name, seconds] = process.argv
const url = `https://kubernetes.default.svc/apis/imcluster.io/v1alpha1/namespaces/${namespace}/imclusters/${name}`
const token = readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8')
const deadline = performance.now() + Number(seconds) * 1000
let method = 'DELETE'
let last = ''

while (performance.now() < deadline) {
  try {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(url, { method, headers, signal: AbortSignal.timeout(5_000) })
    const body = await response.json()
    if (response.status === 404) {
      tell(`ImCluster ${name} is gone`)
      process.exit(0)
    }
    if (response.ok) method = 'GET'
    const taken = body.status?.conditions?.find(({ type, reason }) => type === 'Progressing' && reason === 'Deleting')
    tell(response.ok ? (taken?.message ?? 'waiting for the operator') : `${response.status}: ${body.message}`)
  } catch (error) {
    tell(`the API server does not answer: ${error.cause?.message ?? error.message}`)
  }
  await delay(500)
}
// The rest goes all the same: without Redis there are no sessions to remove.
tell(`ImCluster ${name} is not gone after ${seconds} s: ${last}; is the operator running?`)

function tell(text) {
  if (text !== last) process.stdout.write(`${text}\n`)
  last = text
}
