import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startChild, type Child } from '../test/kit/servers/child.ts'
import { buildClusterPorts, checkPorts } from './cluster-ports.ts'
import { findFreePort } from '../test/kit/servers/free-port.ts'

const execFileAsync = promisify(execFile)
const script = fileURLToPath(new URL('start.ts', import.meta.url))
const DEADLINE_MS = 120_000

describe('npm start', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'im-start-test-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  async function start(base: number): Promise<Child> {
    const env = { ...process.env, TMPDIR: directory }
    return startChild(process.execPath, [script, '--base-port', String(base)], { env })
  }

  async function assertNothingLeft(pids: readonly number[]): Promise<void> {
    // What a killed npm start leaves is ended by its janitor, a moment later.
    const deadline = performance.now() + DEADLINE_MS
    let left = { running: [...pids], files: [''] }
    while (performance.now() < deadline && left.running.length + left.files.length > 0) {
      const table = await readProcesses()
      left = { running: pids.filter((pid) => table.has(pid)), files: await readdir(directory) }
      await delay(50)
    }
    assert.deepEqual(left, { running: [], files: [] })
  }

  it('runs a cluster, proves that it delivers, and leaves nothing behind after Ctrl-C', async () => {
    const base = await findFreeBase()
    await using cluster = await start(base)
    const proof = await cluster.waitForLine((line) => line.startsWith('Proof: '), DEADLINE_MS)
    assert.match(proof, /ada \(WebSocket, gw-0\) → ben \(TCP, gw-2\) in \d+\.\d ms, and back in \d+\.\d ms/)
    await cluster.waitForLine((line) => line.startsWith('Ctrl-C'), DEADLINE_MS)
    const gateway = new RegExp(`gw-1 +tcp://127.0.0.1:${base + 11} +ws://127.0.0.1:${base + 21} `)
    assert.ok(cluster.lines.some((line) => gateway.test(line)))
    const ready = await fetch(`http://127.0.0.1:${base + 31}/readyz`)
    assert.equal(ready.status, 200)

    const pids = await findDescendants(cluster.pid)
    assert.ok(pids.length >= 5, 'Redis, NATS and three gateways')
    cluster.kill('SIGINT')
    assert.deepEqual(await cluster.exited, { code: 0, signal: null })
    await assertNothingLeft(pids)
  })

  it('names the port that is in use, and what holds it', async () => {
    const base = await findFreeBase()
    const holder = createServer().listen(base + 22, '127.0.0.1')
    await once(holder, 'listening')
    try {
      await using cluster = await start(base)
      assert.deepEqual(await cluster.exited, { code: 1, signal: null })
      assert.equal(cluster.lines.length, 1)
      assert.match(
        cluster.lines[0] ?? '',
        new RegExp(`^Port ${base + 22} \\(WebSocket of gw-2\\) is in use.*--base-port`),
      )
      if (process.platform === 'linux') assert.match(cluster.lines[0] ?? '', new RegExp(`\\(pid ${process.pid}\\)`))
      await assertNothingLeft([])
    } finally {
      holder.close()
    }
  })

  it('says which gateway died, and ends with everything else', async () => {
    await using cluster = await start(await findFreeBase())
    await cluster.waitForLine((line) => line.startsWith('Ctrl-C'), DEADLINE_MS)
    const pids = await findDescendants(cluster.pid)
    const processes = await readProcesses()
    const victim = pids.find((pid) => processes.get(pid)?.command.includes('gateway/main.ts'))
    assert.ok(victim !== undefined)
    process.kill(victim, 'SIGKILL')
    assert.deepEqual(await cluster.exited, { code: 1, signal: null })
    assert.match(cluster.lines.at(-1) ?? '', new RegExp(`^gw-[012] \\(pid ${victim}\\) ended with SIGKILL`))
    await assertNothingLeft(pids)
  })

  it('says why a gateway does not start', async () => {
    const env = { ...process.env, TMPDIR: directory, IM_DEVICE_POLICY: 'nonsense' }
    const args = [script, '--base-port', String(await findFreeBase())]
    await using cluster = await startChild(process.execPath, args, { env })
    assert.deepEqual(await cluster.exited, { code: 1, signal: null })
    assert.match(cluster.lines.at(-1) ?? '', /^gw-[012] \(pid \d+\) ended with code 1: .*IM_DEVICE_POLICY/)
    await assertNothingLeft([])
  })

  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    it(`leaves nothing behind when ${signal} comes while it starts`, async () => {
      await using cluster = await start(await findFreeBase())
      await cluster.waitForLine((line) => line.startsWith('Starting'), DEADLINE_MS)
      const pids = await waitForDescendants(cluster.pid, 4)
      cluster.kill(signal)
      assert.notEqual((await cluster.exited).code, 0)
      await assertNothingLeft(pids)
    })
  }
})

async function findFreeBase(): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const base = await findFreePort()
    if (
      await checkPorts(buildClusterPorts(base)).then(
        () => true,
        () => false,
      )
    )
      return base
  }
  throw new Error('no free range of ports')
}

interface ProcessInfo {
  readonly parent: number
  readonly command: string
}

/** Every process but the dead whose parent has not taken notice. */
async function readProcesses(): Promise<Map<number, ProcessInfo>> {
  const { stdout } = await execFileAsync('ps', ['-A', '-o', 'pid=,ppid=,stat=,args='], { maxBuffer: 16 * 1024 * 1024 })
  const rows = stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/gm)
  return new Map(
    [...rows]
      .filter(([, , , state = '']) => !state.startsWith('Z'))
      .map(([, pid, parent, , command = '']) => [Number(pid), { parent: Number(parent), command }]),
  )
}

async function findDescendants(root: number): Promise<number[]> {
  const processes = await readProcesses()
  const isDescendant = (pid: number): boolean => {
    const parent = processes.get(pid)?.parent
    return parent !== undefined && (parent === root || isDescendant(parent))
  }
  return [...processes.keys()].filter((pid) => isDescendant(pid))
}

async function waitForDescendants(root: number, count: number): Promise<number[]> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const pids = await findDescendants(root)
    if (pids.length >= count) return pids
    assert.ok(performance.now() < deadline, `${count} processes within ${DEADLINE_MS} ms`)
    await delay(10)
  }
}
