import type { EventEmitter } from 'node:events'
import { relative } from 'node:path'

interface TestEvent {
  readonly name: string
  readonly nesting: number
  readonly file?: string
  readonly line?: number
  readonly column?: number
}

/** The tests that have begun and not ended: which one it is that hangs. */
export class RunningTests {
  readonly #root: string
  readonly #since = new Map<string, { readonly event: TestEvent; readonly at: number }>()

  /** `root`: what paths are shown relative to. */
  constructor(root: string) {
    this.#root = root
  }

  /**
   * Follows a run of node:test. Calls `abandoned` with a line for each test that had not ended when the process of its file
   * did. These two events come as things happen; `test:start` and its like come in the order of the file.
   */
  watch(events: EventEmitter, abandoned: (line: string) => void): void {
    events.on('test:dequeue', (event: TestEvent) => this.#since.set(keyOf(event), { event, at: performance.now() }))
    events.on('test:complete', (event: TestEvent) => {
      this.#since.delete(keyOf(event))
      if (!isFile(event)) return
      const left = [...this.#since].filter(([, { event: other }]) => other.file === event.file)
      for (const line of this.#describe(left.map(([, entry]) => entry))) abandoned(line)
      for (const [key] of left) this.#since.delete(key)
    })
  }

  /** One line for each that has run for at least `longerThanMs`: file, line, name and seconds, the longest first. */
  describe(longerThanMs = 0): string[] {
    const now = performance.now()
    return this.#describe([...this.#since.values()].filter(({ at }) => now - at >= longerThanMs))
  }

  #describe(entries: readonly { readonly event: TestEvent; readonly at: number }[]): string[] {
    return entries.map(({ event, at }) => {
      const { name, file = name, line = 1 } = event
      const place = relative(this.#root, file)
      const seconds = Math.round((performance.now() - at) / 1000)
      return `${isFile(event) ? place : `${place}:${line} ${name}`} (${seconds} s)`
    })
  }
}

/** Each file counts as a test, too, with its path as its name. */
function isFile({ name, nesting, file = '' }: TestEvent): boolean {
  return nesting === 0 && file.endsWith(name)
}

function keyOf({ file = '', line = 0, column = 0, nesting, name }: TestEvent): string {
  return [file, line, column, nesting, name].join(' ')
}
