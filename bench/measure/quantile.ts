/** The value below which that part of the values lies, between two of them in proportion; NaN of none. */
export function findQuantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * part
  const [below = Number.NaN, above = below] = sorted.slice(Math.max(0, Math.floor(at)), Math.floor(at) + 2)
  return below + (above - below) * (at - Math.floor(at))
}
