// npm run bench: what the product costs, measured from outside, beside others that do the same work.
import { onInterrupt } from '../dev/interrupt.ts'
import { buildProgram } from './program.ts'

/** The janitor of test/kit, which outlives this process, ends what it has started and removes its files. */
onInterrupt(() => process.exit(130))

try {
  await buildProgram((line) => console.log(line)).parseAsync()
  process.exit()
} catch (error) {
  console.error(explain(error))
  process.exit(1)
}

/** The message; of an error and another one while cleaning up after it, that of the first. */
function explain(error: unknown): string {
  if (error instanceof SuppressedError) return explain(error.suppressed)
  return error instanceof Error ? error.message : String(error)
}
