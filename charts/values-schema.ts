import type { Schema } from '../operator/api/crd-schema.ts'

type Json = Readonly<Record<string, unknown>>

/**
 * A schema of the CRD as JSON Schema that refuses fields it does not have, as the API server does where it is asked to;
 * Helm does not ask, and a misspelt field would be dropped in silence. CEL rules stay with the API server.
 */
export function closeSchema(schema: Schema): Json {
  const { properties, items, additionalProperties, default: _, ...rest } = schema
  const plain = Object.entries(rest).filter(([key]) => !key.startsWith('x-kubernetes-') && key !== 'format')
  return {
    ...Object.fromEntries(plain),
    ...(properties !== undefined && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, closeSchema(inner)])),
      additionalProperties: false,
    }),
    ...(items !== undefined && { items: closeSchema(items) }),
    ...(additionalProperties !== undefined && { additionalProperties: closeSchema(additionalProperties) }),
  }
}

/** The schema of the chart's value `spec`: that of ImCluster.spec, but that the chart fills in what is required. */
export function buildSpecSchema(schema: Schema): Json {
  const { required: _, ...closed } = closeSchema(schema)
  const properties = closed['properties'] as Readonly<Record<string, Json>>
  const { required: _servers, ...nats } = properties['nats'] ?? {}
  return { ...closed, properties: { ...properties, nats } }
}
