/** Says what is done, how far the whole run is, and how long it will still take. */
export class Progress {
  readonly #print: (line: string) => void
  /** Seconds that the works are thought to take, in their order. */
  readonly #estimates: number[]
  #work = ''
  /** How much longer than thought the last work took. */
  #slowness = 1
  #startedAt = performance.now()

  constructor(print: (line: string) => void, estimates: readonly number[]) {
    this.#print = print
    this.#estimates = [...estimates]
  }

  /** The next work begins. */
  begin(work: string): void {
    this.#work = work
    this.#startedAt = performance.now()
    this.step('begins')
  }

  step(text: string): void {
    const [current = 0, ...later] = this.#estimates
    const spent = (performance.now() - this.#startedAt) / 1000
    const rest = later.reduce((sum, seconds) => sum + seconds, 0)
    const left = Math.max(0, current * this.#slowness - spent) + rest * this.#slowness
    this.#print(`${formatTime(left)} left  ${this.#work.padEnd(8)} ${text}`)
  }

  end(): void {
    const [estimate = 1] = this.#estimates.splice(0, 1)
    this.#slowness = Math.max(0.5, (performance.now() - this.#startedAt) / 1000 / estimate)
  }
}

/** `12:05`, minutes and seconds. */
export function formatTime(seconds: number): string {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}
