import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imClusters } from './constants.ts'
import { readCustomResource, walkFields, type Schema } from './crd-schema.ts'

const { group, names, version, schema } = readCustomResource()
const fields = [...walkFields(schema)].filter(([path]) => /^(spec|status)/.test(path))

/** The fields for which `isWrong` holds. */
function findFields(isWrong: (field: Schema, path: string) => boolean): string[] {
  return fields.filter(([path, field]) => isWrong(field, path)).map(([path]) => path)
}

function isOpen(field: Schema): boolean {
  if (field.type === 'string') {
    return field.maxLength === undefined && field.enum === undefined && field.format !== 'date-time'
  }
  if (field.type === 'array') return field.maxItems === undefined
  return field.additionalProperties !== undefined && field.maxProperties === undefined
}

function isScalar(value: unknown): boolean {
  return value !== undefined && value !== '' && typeof value !== 'object'
}

test('the kind of the code is the kind of the CRD', () => {
  const { kind, plural } = names
  assert.deepEqual(imClusters, { apiVersion: `${group}/${version}`, kind, plural, namespaced: true })
})

test('every field has a description that kubectl explain shows', () => {
  assert.ok(fields.length > 200)
  const withoutOne = findFields(({ description = '' }, path) => description.length < 5 && !path.endsWith('.*'))
  assert.deepEqual(withoutOne, [])
})

test('every text, list and map is bounded, as the cost of CEL rules and the size of objects depend on it', () => {
  assert.deepEqual(findFields(isOpen), [])
})

test('every number has a format that says how large it may become', () => {
  assert.deepEqual(
    findFields(({ type, format }) => type === 'integer' && format === undefined),
    [],
  )
})

test('every default is in the description, because kubectl explain does not show it else', () => {
  const unnamed = findFields((field) => {
    const about = field.description ?? ''
    const words = about.split(/[\s.,;()]+/)
    return isScalar(field.default) && !(words.includes(String(field.default)) && about.includes('default'))
  })
  assert.deepEqual(unnamed, [])
})
