/** What is wrong only when it is grossly so: shorter runs, busy machines and other kinds of CPU move a ratio by less. */
const MARGIN = 2

export interface Verdict {
  readonly name: string
  readonly passed: boolean
  /** For people, in one line. */
  readonly text: string
}

/** Compares ratios with those of the baseline; one that is lower, or new here and missing there, needs a new baseline. */
export function judge(
  baseline: Readonly<Record<string, number>>,
  found: Readonly<Record<string, number>>,
  margin = MARGIN,
): Verdict[] {
  return Object.entries(found).map(([name, ratio]) => {
    const usual = baseline[name]
    if (!Number.isFinite(ratio)) return { name, passed: false, text: `FAIL  ${name}: no figure was found` }
    if (usual === undefined) {
      const advice = 'it has no baseline; write one with npm run bench -- --quick --write'
      return { name, passed: false, text: `FAIL  ${name}: ${ratio.toFixed(2)}; ${advice}` }
    }
    const passed = ratio <= usual * margin
    const bounds = `baseline ${usual.toFixed(2)}, at most ${(usual * margin).toFixed(2)}`
    return { name, passed, text: `${passed ? 'ok  ' : 'FAIL'}  ${name}: ${ratio.toFixed(2)} (${bounds})` }
  })
}
