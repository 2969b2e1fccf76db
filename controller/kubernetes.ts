/** Kubernetes' own types, and how its files are read: all that the other folders have of client-node. */
export type * from '@kubernetes/client-node'
export { KubeConfig, loadYaml } from '@kubernetes/client-node'
