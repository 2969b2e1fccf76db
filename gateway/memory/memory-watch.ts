import { collectGarbage } from './garbage.ts'
import type { Logger } from '../logger.ts'
import { MemoryBudget } from './memory-budget.ts'
import type { Metrics } from '../metrics.ts'

/** The gateway's memory budget, shown in its metrics; its log tells when it becomes short, and when that is over. */
export function openMemoryBudget(
  limitBytes: number,
  metrics: Metrics,
  logger: Logger,
  tight: () => void,
): MemoryBudget {
  const memory = new MemoryBudget(limitBytes, {
    pressure: (under) => {
      metrics.memoryPressure.set(under ? 1 : 0)
      const figures = { limitBytes, usedBytes: { ...memory.usedBy } }
      if (under) logger.warn(figures, 'memory is short: the heaviest wait, and new logins go elsewhere')
      else {
        logger.info(figures, 'memory is no longer short')
        collectGarbage()
      }
    },
    tight,
  })
  metrics.memoryBudget.set(limitBytes)
  metrics.memoryInUse = memory.usedBy
  return memory
}
