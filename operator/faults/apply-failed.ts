import type { Fault } from './fault.ts'

/** An object that the API server refuses. @param object kind and name */
export function buildApplyFailed(object: string, error: Error): Fault {
  return { reason: 'ApplyFailed', message: `${object} is refused: ${error.message}` }
}
