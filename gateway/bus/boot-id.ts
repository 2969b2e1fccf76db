import { randomBytes } from 'node:crypto'

/** At least the first form of binary records. What came before has a UUID, whose first group is longer. */
const marked = /(?:^|\/)b[1-9]\d{0,2}-[^/]*$/

/**
 * A boot id, which also says what the process reads from the bus: `b1-` JSON and the first form of binary records, which a later
 * form must contain. So whoever sees where a session is knows what to send there, and nobody has to be asked.
 */
export function createBootId(): string {
  return `b1-${randomBytes(8).toString('hex')}`
}

/** Whether the process with this incarnation, or boot id, reads binary records. */
export function readsBinary(incarnation: string): boolean {
  return marked.test(incarnation)
}
