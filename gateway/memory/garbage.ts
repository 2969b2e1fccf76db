import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Has V8 collect all garbage now. After a flood it would see no reason to: its own heap is small, what is garbage are
 * buffers outside of it, and with little to do it does not look at them again for hours.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: string; execution: string }) => Promise<void>
  void collect({ type: 'major', execution: 'async' })
}
