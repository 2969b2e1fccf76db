import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyOf, parseKey } from './resource.ts'
import { Store } from './store.ts'
import { buildConfigMap, type ConfigMap } from './test-server.ts'

function labelled(name: string, ...values: string[]): ConfigMap {
  const object = buildConfigMap(name)
  return { ...object, metadata: { ...object.metadata, labels: Object.fromEntries(values.map((value) => [value, ''])) } }
}

test('objects are found by key and by every value of an index, also after a change', () => {
  const store = new Store<ConfigMap>({ label: ({ metadata }) => Object.keys(metadata.labels ?? {}) })
  const [one, two] = [labelled('one', 'a', 'b'), labelled('two', 'b')]
  assert.equal(store.set(one), undefined)
  store.set(two)
  assert.equal(store.get('ns/one'), one)
  assert.equal(store.get({ namespace: 'ns', name: 'two' }), two)
  assert.deepEqual(store.find('label', 'a'), [one])
  assert.deepEqual(store.find('label', 'b'), [one, two])

  const changed = labelled('one', 'c')
  assert.equal(store.set(changed), one)
  assert.deepEqual(store.find('label', 'a'), [])
  assert.deepEqual(store.find('label', 'b'), [two])
  assert.deepEqual(store.find('label', 'c'), [changed])

  assert.equal(store.delete('ns/one'), changed)
  assert.equal(store.delete('ns/one'), undefined)
  assert.deepEqual([store.find('label', 'c'), store.keys(), store.size], [[], ['ns/two'], 1])
  assert.throws(() => store.find('colour', 'red'), TypeError)
})

test('a key names one object, with or without a namespace', () => {
  assert.equal(keyOf(buildConfigMap('one')), 'ns/one')
  assert.equal(keyOf({ name: 'node' }), 'node')
  for (const name of [{ namespace: 'ns', name: 'one' }, { name: 'node' }]) assert.deepEqual(parseKey(keyOf(name)), name)
})
