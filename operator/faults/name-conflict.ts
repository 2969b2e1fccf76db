import type { Fault } from './fault.ts'

/** An object of the cluster whose name somebody else's has. @param object kind and name */
export function buildNameConflict(object: string): Fault {
  const message = `${object} exists and belongs to somebody else; delete it, or give the ImCluster another name`
  return { reason: 'NameConflict', message }
}
