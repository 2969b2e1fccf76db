type Listener<Event> = (event: Event) => unknown

/** Events by name, for browsers and Node alike. A listener that throws does not keep the others from being called. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>()

  /** Adds a listener and returns how to remove it. Adding the same one twice has no effect. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const listeners = this.#listeners.get(name)
    if (listeners) listeners.add(listener)
    else this.#listeners.set(name, new Set([listener]))
    return () => this.off(name, listener)
  }

  /** As `on`, for one event. */
  once<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const remove = this.on(name, (event) => {
      remove()
      return listener(event)
    })
    return remove
  }

  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): void {
    this.#listeners.get(name)?.delete(listener)
  }

  count(name: keyof Events): number {
    return this.#listeners.get(name)?.size ?? 0
  }

  /** Calls the listeners in the order of their adding and returns what they returned; `failed` gets what they threw. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name], failed = throwLater): unknown[] {
    const listeners = [...(this.#listeners.get(name) ?? [])] as Listener<Events[Name]>[]
    return listeners.map((listener) => {
      try {
        return listener(event)
      } catch (error) {
        failed(error)
        return undefined
      }
    })
  }
}

/** Makes an exception one that nobody caught, without breaking off the caller's work. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
