import type { TestContext } from 'node:test'

/** Reports with a test how long each of its steps took: since the one before, or since the start. */
export function startStopwatch(context: TestContext): (step: string) => void {
  let last = performance.now()
  return (step) => {
    const now = performance.now()
    context.diagnostic(`${step}: ${((now - last) / 1000).toFixed(1)} s`)
    last = now
  }
}
