import { totalmem } from 'node:os'
import { constrainedMemory } from 'node:process'
import { COPIES } from './memory-costs.ts'

const MEBI = 1_048_576
const LEAST = 16 * MEBI
const MOST = 1_024 * MEBI
/** The rest is for what a gateway is without load, for connections at rest, and for what Node frees late. */
const PART = 1 / 8
/** Of the largest frame: so many must fit, or a single one could take all. */
const FRAMES = 16

/**
 * The budget when none is set: an eighth of the memory limit of the container (cgroup), or of the machine's memory when
 * there is none; at least 16 MiB, at most 1 GiB.
 *
 * @param limitBytes the container's limit; 0, or more than the machine has, where there is none
 */
export function defaultMemoryBudget(limitBytes = constrainedMemory(), machineBytes = totalmem()): number {
  const memory = limitBytes > 0 ? Math.min(limitBytes, machineBytes) : machineBytes
  return Math.round(Math.min(MOST, Math.max(LEAST, memory * PART)))
}

/** The least budget with which the largest frames get through. */
export function leastMemoryBudget(maxFrameBytes: number): number {
  return maxFrameBytes * COPIES * FRAMES
}
