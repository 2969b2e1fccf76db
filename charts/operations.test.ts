import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { version } from './chart-kit.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const operations = readFileSync(`${root}docs/operations.md`, 'utf8')

/** Words in CamelCase that the reconcile steps have and that are no reasons of conditions or Events. */
const others = new Set(
  'Ready Progressing Draining Degraded Durable True False Unknown Secret PodScheduled ContainerCreating Delete CleanUp Reconcile BecomeReady Degrade Recover Pod StatefulSet SuccessfulCreate FailedCreate Failed Normal Warning Background LeaseReleased Drain'.split(
    ' ',
  ),
)
/** Reasons of the kubelet, which `waitingFaults` translates. */
const kubelets = /^(ErrImage|Image|InvalidImage|CrashLoopBackOff|CreateContainer|RunContainer)(?!PullFailed)/

test('docs/operations.md explains every reason that the operator gives', () => {
  const files = globSync('operator/{faults,conditions,events,reconcile}/*.ts', { cwd: root, exclude: ['**/*.test.ts'] })
  const words = files.flatMap((file) => [
    ...readFileSync(`${root}${file}`, 'utf8').matchAll(/(?<!isApiError.*)'([A-Z][a-z]+(?:[A-Z][a-z]+)*)'/g),
  ])
  const reasons = new Set(
    words.map(([, word = '']) => word).filter((word) => !others.has(word) && !kubelets.test(word)),
  )
  assert.ok(reasons.size > 20, [...reasons].join())
  assert.deepEqual(
    [...reasons].filter((reason) => !operations.includes(`\`${reason}\``)),
    [],
  )
})

test('the docs name the image of this version', () => {
  for (const page of ['operations', 'imcluster']) {
    const text = readFileSync(`${root}docs/${page}.md`, 'utf8')
    const named = [...text.matchAll(/(?:image\.tag=|\bim-cluster:)(\d[\w.]*)/g)].map(([, tag]) => tag)
    assert.ok(named.length > 1, page)
    assert.deepEqual(new Set(named), new Set([version]), page)
  }
})
