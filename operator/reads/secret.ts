import type { KubeApi } from '../../controller/api.ts'
import { isApiError } from '../../controller/errors.ts'
import type { KubeObject, ObjectName, Resource } from '../../controller/resource.ts'

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

const secrets: Resource<Secret> = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }

/**
 * Reads a Secret that an ImCluster names: undefined when it is not there. Values are in base64.
 *
 * @throws ApiError when it cannot be read
 */
export async function readSecret(api: KubeApi, name: ObjectName, signal: AbortSignal): Promise<Secret | undefined> {
  try {
    return await api.get(secrets, name, { signal })
  } catch (error) {
    if (isApiError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}
