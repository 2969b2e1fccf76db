/**
 * Spreads work over turns of the event loop, in the order in which it came: when much comes at once, what is live already goes on
 * between.
 *
 * @param most pieces of work in one turn
 * @returns does the work, at once or in its turn
 */
export function createFewATurn(most: number): (work: () => void) => void {
  let waiting: (() => void)[] = []
  let begun = 0
  let scheduled = false
  const turn = (): void => {
    const now = waiting.slice(0, most)
    waiting = waiting.slice(most)
    begun = now.length
    scheduled = begun > 0
    if (scheduled) setImmediate(turn)
    for (const work of now) work()
  }
  return (work) => {
    if (!scheduled) setImmediate(turn)
    scheduled = true
    if (begun === most || waiting.length > 0) {
      waiting.push(work)
      return
    }
    begun += 1
    work()
  }
}
