import { readdir, readFile, readlink } from 'node:fs/promises'

/** The process that listens on a TCP port, as `node (pid 42)`; undefined where the system does not say. Linux only. */
export async function findPortOwner(port: number): Promise<string | undefined> {
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const inode of parseListeners(await readFile(table, 'utf8').catch(() => ''), port)) inodes.add(inode)
  }
  if (inodes.size === 0) return undefined
  for (const pid of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(pid)) continue
    // Another user's process does not show its files, and any may end meanwhile.
    const files = await readdir(`/proc/${pid}/fd`).catch(() => [])
    const targets = await Promise.all(files.map((file) => readlink(`/proc/${pid}/fd/${file}`).catch(() => '')))
    if (!targets.some((target) => inodes.has(target))) continue
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'a process')
    return `${name.trim()} (pid ${pid})`
  }
  return undefined
}

const LISTEN = '0A'

/** The sockets that listen on a port, as a link in /proc names them; see proc_net_tcp in the kernel's documentation. */
function parseListeners(table: string, port: number): string[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => state === LISTEN && Number.parseInt(local.split(':')[1] ?? '', 16) === port)
    .map((columns) => `socket:[${columns[9]}]`)
}
