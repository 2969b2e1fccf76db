import { readFileSync } from 'node:fs'

/** Files that a process needs besides its connections. */
const OTHERS = 200

/** Why a process may not hold so many connections, and what to do; undefined where it may. */
export function lacksOpenFiles(
  connections: number,
  limits = readFileSync('/proc/self/limits', 'utf8'),
): string | undefined {
  // Node itself raises the soft limit to the hard one.
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1]
  const needed = connections + OTHERS
  if (hard === 'unlimited' || Number(hard) >= needed) return undefined
  return `a process needs ${needed} open files, and may have ${hard}; raise that with ulimit -Hn ${needed} as root`
}
