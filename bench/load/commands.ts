import { catchUp, fill } from './catch-up.ts'
import { openGroup, type Group, type GroupOptions } from './group.ts'
import { startLoad, type Deliveries, type Load, type LoadOptions, type RunOptions } from './load.ts'
import { startStorm, type Outcome, type Storm, type StormOptions } from './storm.ts'

const loads = new Map<number, Load>()
const groups = new Map<number, Group>()
const storms = new Map<number, Storm>()
let lastId = 0

/** What the process of the load does when it is asked to. Arguments and results go between processes. */
export const commands = {
  /** Logs in pairs of users; resolves with the number of the load. */
  async openLoad(options: LoadOptions): Promise<number> {
    const load = await startLoad(options)
    loads.set((lastId += 1), load)
    return lastId
  },
  run({ id, ...options }: RunOptions & { readonly id: number }): Promise<Deliveries> {
    return find(loads, id).run(options)
  },
  closeLoad: (id: number): Promise<void> => close(loads, id),
  /** Logs in users who only rest; resolves with the number of the group. */
  async openGroup(options: GroupOptions): Promise<number> {
    const group = await openGroup(options)
    groups.set((lastId += 1), group)
    return lastId
  },
  /** Connections that a group has lost. */
  countLost: (id: number): Promise<number> => Promise.resolve(find(groups, id).lost),
  closeGroup: (id: number): Promise<void> => close(groups, id),
  /** Logs in clients who come back by themselves; resolves with the number of the storm. */
  async startStorm(options: StormOptions): Promise<number> {
    const storm = await startStorm(options)
    storms.set((lastId += 1), storm)
    return lastId
  },
  awaitReturn: (id: number): Promise<Outcome> => find(storms, id).awaitReturn(),
  fill,
  catchUp,
}

export type Commands = typeof commands

function find<Value>(all: ReadonlyMap<number, Value>, id: number): Value {
  const found = all.get(id)
  if (found === undefined) throw new Error(`the load knows no ${id}`)
  return found
}

function close(all: Map<number, Disposable>, id: number): Promise<void> {
  all.get(id)?.[Symbol.dispose]()
  all.delete(id)
  return Promise.resolve()
}
