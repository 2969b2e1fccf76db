import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild, type Child } from '../test/kit/servers/child.ts'
import type { Result } from './report/result.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const here = fileURLToPath(new URL('..', import.meta.url))
const DEADLINE_MS = 240_000

describe('npm run bench', { skip: process.platform !== 'linux' && 'CPU time is read from /proc' }, () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'im-bench-test-'))
  })
  after(() => rm(directory, { recursive: true, force: true }))

  const start = (args: string): Promise<Child> =>
    startChild(process.execPath, [main, ...args.split(' ')], { env: { ...process.env, TMPDIR: directory } })

  async function run(args: string): Promise<{ code: number | null; lines: readonly string[] }> {
    await using child = await start(args)
    await child.waitForLine(() => false, DEADLINE_MS).catch(() => undefined)
    assert.ok(!child.running, `it ended; ${child.lines.join('\n')}`)
    return { code: (await child.exited).code, lines: child.lines }
  }

  /** The figures in the line that begins with `label`. */
  function parseRow(lines: readonly string[], label: string): number[] {
    const line = lines.find((text) => text.startsWith(label)) ?? assert.fail(`no ${label} in\n${lines.join('\n')}`)
    return line.slice(label.length).trim().split(/\s+/).map(Number)
  }

  it('measures peers in turn, and writes table, figures and pictures without a trace of whose machine it was', async () => {
    await using out = await makeFolder()
    const { code, lines } = await run(`--only w1a --peers im,floor-ack,nats --rounds 2 --percent 5 --out ${out.path}`)
    assert.equal(code, 0, lines.join('\n'))
    const files = await readdir(out.path)
    assert.deepEqual(files.toSorted(), ['w1a-cpu.svg', 'w1a.json', 'w1a.md'])
    const texts = await Promise.all(files.map((file) => readFile(join(out.path, file), 'utf8')))
    for (const text of texts) {
      for (const trace of [here, directory, out.path, hostname()])
        assert.ok(!text.includes(trace), `${trace} in ${text}`)
    }
    const { rows, rounds, machine } = JSON.parse(await readFile(join(out.path, 'w1a.json'), 'utf8')) as Result
    assert.equal(rounds, 2)
    assert.ok(machine.cores > 0 && machine.memoryGb > 0 && machine.cpu !== '', JSON.stringify(machine))
    assert.match(machine.versions['Redis'] ?? '', /^\d+\.\d+\.\d+$/)
    assert.match(machine.versions['NATS'] ?? '', /^\d+\.\d+\.\d+$/)
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['im', 'floor-ack', 'nats'],
    )
    for (const { name, figures } of rows) {
      assert.equal(figures['perSecond']?.values.length, 2, name)
      assert.ok((figures[name === 'nats' ? 'natsUs' : 'gatewaysUs']?.median ?? 0) > 0, name)
    }
    assert.equal(rows[2]?.figures['gatewaysUs'], undefined, 'NATS alone has no gateway')
    assert.ok(
      lines.some((line) => /^\d+:\d\d left {2}w1a +round 2 of 2: im$/.test(line)),
      lines.join('\n'),
    )
  })

  for (const [fault, text] of [
    ['lost', /floor with answers: messages lost: [1-9]\d*, doubled: 0, out of order: 0/],
    ['doubled', /floor with answers: messages lost: 0, doubled: [1-9]\d*, out of order: 0/],
    ['disordered', /floor with answers: messages lost: \d+, doubled: 0, out of order: [1-9]\d*/],
  ] as const) {
    it(`ends red when messages are ${fault}, and says whose`, async () => {
      await using out = await makeFolder()
      const args = `--only w1a --peers floor-ack --rounds 1 --percent 5 --out ${out.path} --fault ${fault}`
      const { code, lines } = await run(args)
      assert.equal(code, 1, lines.join('\n'))
      assert.match(lines.join('\n'), text)
      assert.deepEqual(await readdir(out.path), [], 'no result of such a run is kept')
    })
  }

  it('leaves out a work that cannot run here, and says what it needs', async () => {
    await using child = await startChild(process.execPath, [main, '--only', 'image'], {
      env: { ...process.env, TMPDIR: directory, DOCKER_HOST: 'tcp://127.0.0.1:1' },
    })
    assert.equal((await child.exited).code, 1)
    assert.match(child.lines.join('\n'), /image cannot run: it needs Docker; install it/)
  })

  it('says which works and peers there are', async () => {
    for (const [args, text] of [
      ['--only w9', /"w9" is none of w1a, w1b/],
      ['--peers nobody', /"nobody" is none of im, im-tcp/],
      ['--only storm --peers floor', /none of these works has such a peer: storm has im/],
      ['--rounds 0', /give a whole number from 1 to 100/],
    ] as const) {
      const { code, lines } = await run(args)
      assert.equal(code, 1, args)
      assert.match(lines.join('\n'), text)
    }
  })

  it('prints what a message costs in two checkouts, and that none was lost', async () => {
    const { code, lines } = await run(`message --pairs 3 --seconds 1 --warm-up 0 --rounds 1 --vs ${here}`)
    assert.equal(code, 0, lines.join('\n'))
    for (const label of ['round 1, A', 'median of B', 'ratio A / B']) {
      const [gateways = 0, redis = 0, , , perSecond = 0, p50 = 0, p99 = 0] = parseRow(lines, label)
      for (const figure of [gateways, redis, perSecond, p50, p99]) assert.ok(figure > 0, `${label}: ${figure}`)
    }
    assert.equal(lines.at(-1), 'lost, doubled, out of order: none')
  })

  it('keeps to a rate, over TCP at one gateway, also for messages that are not stored', async () => {
    const options = '--pairs 3 --seconds 2 --warm-up 1 --rounds 1 --rate 50 --tcp --transient --same-gateway'
    const { code, lines } = await run(`message ${options}`)
    assert.equal(code, 0, lines.join('\n'))
    const perSecond = parseRow(lines, 'median of A')[4] ?? 0
    assert.ok(perSecond > 10 && perSecond < 200, `${perSecond} messages/s`)
  })

  it('prints what an append costs Redis', async () => {
    const { code, lines } = await run('append --appends 3000 --users 7 --rounds 1')
    assert.equal(code, 0, lines.join('\n'))
    for (const figure of parseRow(lines, 'median of A')) assert.ok(figure > 0, lines.join('\n'))
    assert.ok(!lines.some((line) => line.startsWith('round 2')), 'one round was asked for')
  })

  it('says what is wrong with a folder that is no checkout', async () => {
    for (const command of ['', 'message ']) {
      const { code, lines } = await run(`${command}--gateway ${directory}`)
      assert.equal(code, 1)
      assert.match(lines.join('\n'), /is no checkout of im-cluster/)
    }
  })

  it('leaves nothing behind when it is interrupted', async () => {
    await using child = await start('message --pairs 3 --seconds 100 --rounds 1')
    // The load, Redis, NATS and two gateways.
    let pids: number[] = []
    while (pids.length < 6 && child.running) {
      pids = await readChildren(child.pid)
      await delay(50)
    }
    child.kill('SIGINT')
    assert.deepEqual(await child.exited, { code: 130, signal: null })
    const deadline = performance.now() + DEADLINE_MS
    let left: unknown[] = ['?']
    while (left.length > 0 && performance.now() < deadline) {
      left = [...pids.filter(isRunning), ...(await readdir(directory))]
      await delay(50)
    }
    assert.deepEqual(left, [])
  })
})

async function makeFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'im-bench-out-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Those that it has started and that run, with the janitor. */
async function readChildren(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return text.trim().split(/\s+/).filter(Boolean).map(Number)
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
