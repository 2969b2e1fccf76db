import { keyOf, type KubeObject, type ObjectName } from './resource.ts'

/** Says under which values of an index an object is found. */
export type Indexer<T> = (object: T) => readonly string[]

/** What a store answers. Objects are shared by all readers: never change one. */
export interface StoreReader<T> {
  readonly size: number
  get(name: ObjectName | string): T | undefined
  list(): T[]
  keys(): string[]
  /** The objects that an index holds under a value. */
  find(index: string, value: string): T[]
}

/** Objects by key, and by the values of named indexes. */
export class Store<T extends KubeObject> implements StoreReader<T> {
  readonly #objects = new Map<string, T>()
  readonly #indexers: ReadonlyMap<string, Indexer<T>>
  /** Index → value → keys. */
  readonly #indexes = new Map<string, Map<string, Set<string>>>()

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    this.#indexers = new Map(Object.entries(indexers))
    for (const name of this.#indexers.keys()) this.#indexes.set(name, new Map())
  }

  get size(): number {
    return this.#objects.size
  }

  get(name: ObjectName | string): T | undefined {
    return this.#objects.get(typeof name === 'string' ? name : keyOf(name))
  }

  list(): T[] {
    return [...this.#objects.values()]
  }

  keys(): string[] {
    return [...this.#objects.keys()]
  }

  /** @throws TypeError when there is no such index */
  find(index: string, value: string): T[] {
    const values = this.#indexes.get(index)
    if (values === undefined) throw new TypeError(`the store has no index ${index}`)
    return [...(values.get(value) ?? [])].flatMap((key) => this.#objects.get(key) ?? [])
  }

  /** Sets an object and returns the one that was there. */
  set(object: T): T | undefined {
    const key = keyOf(object)
    const former = this.delete(key)
    this.#objects.set(key, object)
    for (const [values, value] of this.#entriesOf(object)) {
      const keys = values.get(value)
      if (keys === undefined) values.set(value, new Set([key]))
      else keys.add(key)
    }
    return former
  }

  /** Removes an object and returns it. */
  delete(key: string): T | undefined {
    const former = this.#objects.get(key)
    if (former === undefined) return undefined
    this.#objects.delete(key)
    for (const [values, value] of this.#entriesOf(former)) {
      const keys = values.get(value)
      keys?.delete(key)
      if (keys?.size === 0) values.delete(value)
    }
    return former
  }

  *#entriesOf(object: T): Generator<[Map<string, Set<string>>, string]> {
    for (const [name, indexer] of this.#indexers) {
      const values = this.#indexes.get(name)
      if (values !== undefined) for (const value of indexer(object)) yield [values, value]
    }
  }
}
