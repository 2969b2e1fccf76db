import type { PeerName } from '../peers/peers.ts'
import type { Result } from '../report/result.ts'
import { append } from '../works/append.ts'
import { login } from '../works/login.ts'
import { w1a } from '../works/w1a.ts'
import { w1b } from '../works/w1b.ts'
import type { Work } from '../works/work.ts'

/** A figure of the product over one of the floor in the same work. */
interface Ratio {
  readonly work: string
  readonly row: PeerName
  readonly column: string
  readonly floor: readonly [row: PeerName, column: string]
}

/** What `--quick` runs. */
export const quickPlan: readonly { readonly work: Work; readonly peers: readonly PeerName[] }[] = [
  { work: w1a, peers: ['im', 'im-transient', 'floor-ack'] },
  { work: w1b, peers: ['im', 'floor-ack'] },
  { work: append, peers: ['im', 'redis'] },
  { work: login, peers: ['im', 'floor'] },
]

/** CPU time over CPU time, so that neither the speed of a machine nor what else it does matters much. */
const ratios: readonly Ratio[] = [
  { work: 'w1a', row: 'im', column: 'gatewaysUs', floor: ['floor-ack', 'gatewaysUs'] },
  { work: 'w1a', row: 'im', column: 'redisUs', floor: ['floor-ack', 'gatewaysUs'] },
  { work: 'w1a', row: 'im-transient', column: 'gatewaysUs', floor: ['floor-ack', 'gatewaysUs'] },
  { work: 'w1b', row: 'im', column: 'gatewaysUs', floor: ['floor-ack', 'gatewaysUs'] },
  { work: 'append', row: 'im', column: 'redis', floor: ['redis', 'redis'] },
  { work: 'login', row: 'im', column: 'gatewaysUs', floor: ['floor', 'gatewaysUs'] },
]

/** The ratios of a run by name, such as `w1a im gatewaysUs / floor-ack`. NaN where a figure is missing. */
export function findRatios(results: readonly Result[]): Record<string, number> {
  const find = (work: string, row: string, column: string) =>
    results.find((result) => result.work === work)?.rows.find(({ name }) => name === row)?.figures[column]?.median
  return Object.fromEntries(
    ratios.map(({ work, row, column, floor: [floorRow, floorColumn] }) => {
      const [of, over] = [find(work, row, column), find(work, floorRow, floorColumn)]
      return [`${work} ${row} ${column} / ${floorRow}`, of && over ? of / over : Number.NaN]
    }),
  )
}
