import type { Fault } from '../peers/floor-options.ts'
import type { PeerName } from '../peers/peers.ts'
import type { Columns } from '../report/columns.ts'
import type { Plot } from '../report/plot.ts'

/** Figures of one row, in one round; one that a peer does not have is left out. */
export type Figures = Readonly<Record<string, number>>

export interface WorkContext {
  /** Those of the work that are asked for, in the order of the tables. */
  readonly peers: readonly PeerName[]
  readonly rounds: number
  /** The checkout whose product is measured. */
  readonly root: string
  /** 1, or less for a shorter run: of durations and counts. */
  readonly scale: number
  readonly fault?: Fault | undefined
  /** Says what is done now. */
  step(text: string): void
  /** Notes the figures of a row in a round. */
  record(row: string, figures: Figures): void
}

/** Something that is measured, by a command of its own: `npm run bench -- --only <name>`. */
export interface Work {
  readonly name: string
  readonly title: string
  /** What is done and measured, for who reads the results. */
  readonly description: string
  readonly peers: readonly PeerName[]
  readonly columns: Columns
  readonly plots: readonly Plot[]
  /** About how long it takes, for so many peers and rounds. */
  estimateSeconds(peers: number, rounds: number): number
  /** What is missing on this machine, and how to get it; undefined when nothing is. */
  lacks?(): Promise<string | undefined>
  run(context: WorkContext): Promise<void>
}

/** The messages of a peer went wrong: the run is worth nothing. */
export class FaultError extends Error {}
