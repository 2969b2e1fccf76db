import { startLoad, type Deliveries, type Load, type LoadOptions, type RunOptions } from './load.ts'

const loads = new Map<number, Load>()
let lastId = 0

/** What the process of the load does when it is asked to. Arguments and results go between processes. */
export const commands = {
  /** Logs in users; resolves with the number of the load. */
  async openLoad(options: LoadOptions): Promise<number> {
    lastId += 1
    const id = lastId
    loads.set(id, await startLoad(options))
    return id
  },
  run({ id, ...options }: RunOptions & { readonly id: number }): Promise<Deliveries> {
    const load = loads.get(id)
    if (!load) throw new Error(`there is no load ${id}`)
    return load.run(options)
  },
  closeLoad(id: number): Promise<void> {
    loads.get(id)?.[Symbol.dispose]()
    loads.delete(id)
    return Promise.resolve()
  },
}

export type Commands = typeof commands
