import { readFileSync } from 'node:fs'

/** What /proc counts CPU time in: USER_HZ is 100 on every architecture that Node runs on. */
const US_PER_TICK = 10_000

/** @throws Error where there is no Linux /proc to read CPU time from. */
export function checkPlatform(platform: string = process.platform): void {
  if (platform !== 'linux') throw new Error(`CPU time is read from /proc, which only Linux has; this is ${platform}`)
}

/** CPU time that a process has used so far in user and system mode, all its threads together, in µs; exact to 10 ms. */
export function readCpu(pid: number): number {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

/** utime + stime of a line of /proc/<pid>/stat, in µs. The name in it may hold anything, also spaces and parentheses. */
export function parseStat(line: string): number {
  // From the third field of proc(5) on: utime is the 14th, stime the 15th.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  if (!Number.isInteger(ticks)) throw new Error('a line of /proc/<pid>/stat was not understood')
  return ticks * US_PER_TICK
}

/** Begins to count the CPU time of groups of processes; the result says what each has used since, in µs. */
export function startCpuMeter<Name extends string>(
  groups: Readonly<Record<Name, readonly number[]>>,
): () => Record<Name, number> {
  const read = () =>
    Object.fromEntries(
      Object.entries<readonly number[]>(groups).map(([name, pids]) => [
        name,
        pids.reduce((sum, pid) => sum + readCpu(pid), 0),
      ]),
    ) as Record<Name, number>
  const before = read()
  return () => {
    const used = read()
    for (const name of Object.keys(used) as Name[]) used[name] -= before[name]
    return used
  }
}
