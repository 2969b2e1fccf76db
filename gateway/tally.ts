import { Counter, type Registry } from 'prom-client'

/** A counter with one label that costs a message next to nothing: plain numbers, until somebody asks for the metrics. */
export class Tally {
  readonly #counts = new Map<string, number>()

  constructor(registry: Registry, name: string, help: string, label: string) {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect: () => {
        counter.reset()
        for (const [value, count] of this.#counts) counter.inc({ [label]: value }, count)
      },
    })
  }

  /** Counts one of that label. Labels must be few. */
  inc(value: string): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1)
  }
}
