import { readFileSync } from 'node:fs'
import { loadYaml } from '../../controller/kubernetes.ts'

/** The part of an OpenAPI schema that the CRD uses. */
export interface Schema {
  readonly description?: string
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly format?: string
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly maxProperties?: number
  readonly 'x-kubernetes-int-or-string'?: boolean
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[]
}

interface CustomResource {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string; readonly plural: string }
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[]
  }
}

/** Reads crds/imcluster.yaml. For tests and for what is generated; the operator itself never reads it. */
export function readCustomResource(): CustomResource['spec'] & { readonly version: string; readonly schema: Schema } {
  const text = readFileSync(new URL('../../crds/imcluster.yaml', import.meta.url), 'utf8')
  // As the outermost value loadYaml would turn it into a class that renames the keywords of schemas.
  const { spec } = loadYaml<{ crd: CustomResource }>(`crd:\n${text.replace(/^/gm, '  ')}`).crd
  const [version] = spec.versions
  if (version === undefined) throw new Error('crds/imcluster.yaml has no version')
  return { ...spec, version: version.name, schema: version.schema.openAPIV3Schema }
}

/** Fills in the defaults as the API server does. */
export function applyDefaults(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => applyDefaults(schema.items ?? {}, item))
  if (typeof value !== 'object' || value === null || schema.properties === undefined) return value
  const filled: Record<string, unknown> = { ...value }
  for (const [name, property] of Object.entries(schema.properties)) {
    filled[name] ??= structuredClone(property.default)
    if (filled[name] === undefined) delete filled[name]
    else filled[name] = applyDefaults(property, filled[name])
  }
  return filled
}

/** A field, as `spec.listeners.tcp.port`, `spec.nats.servers[]` or `spec.service.annotations.*`, and its schema. */
export type Field = readonly [path: string, schema: Schema, required: boolean]

/** The fields under a schema, outer before inner. */
export function* walkFields(schema: Schema, path = ''): Generator<Field> {
  const below = path === '' ? '' : `${path}.`
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield [below + name, property, schema.required?.includes(name) ?? false]
    yield* walkFields(property, below + name)
  }
  for (const [suffix, inner] of [
    ['[]', schema.items],
    ['.*', schema.additionalProperties],
  ] as const) {
    if (inner === undefined) continue
    yield [path + suffix, inner, false]
    yield* walkFields(inner, path + suffix)
  }
}
