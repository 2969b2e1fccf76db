import type { Schema } from './crd-schema.ts'

/** Parts of a Pod or a NetworkPolicy, of which the CRD repeats the schema: as in Kubernetes' own types. */
const kubernetesTypes: Readonly<Record<string, string>> = {
  resources: 'V1ResourceRequirements',
  affinity: 'V1Affinity',
  tolerations: 'V1Toleration[]',
  topologySpreadConstraints: 'V1TopologySpreadConstraint[]',
  clientsFrom: 'V1NetworkPolicyPeer[]',
  adminFrom: 'V1NetworkPolicyPeer[]',
  egress: 'V1NetworkPolicyEgressRule[]',
}

/** Objects that get a name of their own, by path. */
const names: Readonly<Record<string, string>> = {
  spec: 'ImClusterSpec',
  status: 'ImClusterStatus',
  'status.conditions[]': 'Condition',
  'status.brokers[]': 'BrokerStatus',
  'status.cleanups[]': 'CleanupRecord',
}

/** Builds the TypeScript types of ImCluster as the API server returns it, so with the defaults filled in. */
export function buildTypeSource(schema: Schema): string {
  const declarations: string[] = []

  const typeOf = (field: Schema, path: string): string => {
    if (field['x-kubernetes-int-or-string'] === true) return 'number | string'
    if (field.enum !== undefined) return field.enum.map((value) => `'${value}'`).join(' | ')
    if (field.type === 'array') return `readonly (${typeOf(field.items ?? {}, `${path}[]`)})[]`
    if (field.type === 'integer') return 'number'
    if (field.type !== 'object') return field.type ?? 'unknown'
    if (field.additionalProperties !== undefined) {
      return `Readonly<Record<string, ${typeOf(field.additionalProperties, `${path}.*`)}>>`
    }
    const body = bodyOf(field, path)
    const name = names[path]
    if (name === undefined) return body
    declarations.push(`/** ${field.description} */\nexport interface ${name} ${body}`)
    return name
  }
  const bodyOf = (object: Schema, path: string): string => {
    const lines = Object.entries(object.properties ?? {}).map(([name, field]) => {
      const always = object.required?.includes(name) === true || field.default !== undefined
      const type = kubernetesTypes[name] ?? typeOf(field, `${path}.${name}`)
      return `/** ${field.description} */\nreadonly ${name}${always ? '' : '?'}: ${type}`
    })
    return `{\n${lines.join('\n')}\n}`
  }

  for (const [name, field] of Object.entries(schema.properties ?? {})) if (names[name]) typeOf(field, name)
  const imports = new Set(Object.values(kubernetesTypes).map((type) => type.replace('[]', '')))
  return `// Generated from crds/imcluster.yaml by: node operator/api/generated.test.ts --write
import type { ${[...imports].join(', ')} } from '../../controller/kubernetes.ts'
import type { KubeObject, ObjectMeta } from '../../controller/resource.ts'

/** ${schema.description} As the API server returns it: with all defaults. */
export interface ImCluster extends KubeObject {
  metadata: ObjectMeta & { namespace: string; uid: string; generation: number }
  readonly spec: ImClusterSpec
  readonly status?: ImClusterStatus
}

${declarations.toReversed().join('\n\n')}
`
}
