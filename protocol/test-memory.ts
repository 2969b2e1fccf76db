import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** For tests: bytes in use on and off the heap, after a full garbage collection. */
export function measureMemory(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc(); gc()')
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
