import { globSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join, posix } from 'node:path'

/** What one file imports: files as paths from the repository's root, packages and node: modules by name. */
export interface SourceFile {
  readonly imports: readonly string[]
  readonly readsEnvironment: boolean
}
/** By path from the repository's root, with forward slashes. */
export type ImportGraph = ReadonlyMap<string, SourceFile>

/** What tests of all folders use, an area of its own. */
const TEST_KIT = 'test/kit'
/** Top-level folders, and those of which each may import. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  server: [],
  session: ['protocol', 'server'],
  client: ['protocol'],
  gateway: ['protocol', 'session', 'server'],
  controller: [],
  operator: ['controller', 'session', 'server'],
  // Tests alone: what charts say of the product is compared with it.
  charts: ['gateway', 'operator', 'controller'],
  dev: ['protocol', 'session', 'client', 'gateway', 'controller', 'operator', 'server', TEST_KIT],
  // From outside: what the product does is observed through clients, processes and stores.
  [TEST_KIT]: ['protocol', 'session', 'client', 'server'],
  test: ['protocol', 'session', 'client', TEST_KIT],
  e2e: ['client', 'dev', TEST_KIT],
  // From outside, too. Of session/ the types only: what an append costs Redis is measured through the session/ of whichever
  // checkout is asked for, loaded by path, since a script cannot be measured without what calls it.
  bench: ['protocol', 'session', 'client', 'dev', TEST_KIT],
}
/**
 * Rooms of a folder, and of which each may import. What stands beside the rooms runs them and may import all; of it they may
 * import what is named as common.
 */
const rooms: Readonly<
  Record<string, { readonly common: readonly string[]; readonly arrows: Readonly<Record<string, readonly string[]>> }>
> = {
  gateway: {
    common: ['errors', 'logger', 'metrics', 'refusal', 'settings', 'troubles'],
    arrows: {
      memory: [],
      secrets: [],
      net: ['memory', 'secrets'],
      bus: ['memory', 'secrets'],
      delivery: ['net', 'bus'],
      login: ['net', 'bus', 'secrets', 'delivery'],
      directory: ['delivery', 'login'],
      outage: ['bus', 'directory'],
    },
  },
  operator: {
    common: ['errors', 'logger', 'metrics', 'redis-pool'],
    arrows: {
      api: [],
      build: ['api'],
      reads: ['api'],
      cleanup: ['api', 'reads'],
      faults: ['api', 'build', 'reads', 'cleanup'],
      conditions: ['api', 'build', 'reads', 'cleanup', 'faults'],
      events: ['api'],
      reconcile: ['api', 'build', 'reads', 'cleanup', 'faults', 'conditions', 'events'],
    },
  },
}
/** The one that speaks to Kubernetes. */
const KUBERNETES_AREA = 'controller'
/** What a test may import besides what its folder may. */
const arrowsOfTests = ['client', TEST_KIT]
/** Tests beside the code and their helpers; and the folders that are no part of the product. */
const testFiles = /\.(test|e2e)\.ts$|\/test-[^/]+\.ts$/
const testFolders = /^(charts|dev|test|e2e|bench)\//
/** These, and all they import, run in browsers. */
const browserFiles = /^(protocol\/.*|client\/browser\.ts)$/
const nodeOnlyPackages = new Set([...builtinModules, 'ws', 'ioredis', 'nats', 'pino', 'prom-client'])

/** Reads the imports of every TypeScript file of the known folders under `root`. */
export function readImportGraph(root: string): ImportGraph {
  const pattern = `{${Object.keys(arrows).join(',')}}/**/*.{ts,mjs}`
  const graph = new Map<string, SourceFile>()
  for (const found of globSync(pattern, { cwd: root, exclude: ['**/node_modules/**'] })) {
    const path = found.replaceAll('\\', '/')
    graph.set(path, parseSource(path, readFileSync(join(root, found), 'utf8')))
  }
  return graph
}

const importPatterns = [
  /^(?:import|export)\s[^'"]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^import\s*['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]/g,
]

/** Finds the imports in a file's text. It reads prettier's layout, in which imports begin at the start of a line. */
export function parseSource(path: string, text: string): SourceFile {
  const names = importPatterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, name = '']) => name))
  return {
    imports: names.map((name) => (name.startsWith('.') ? posix.join(posix.dirname(path), name) : name)),
    readsEnvironment: /\bprocess\.env\b|\{[^}]*\benv\b[^}]*\}\s*(=\s*process\b|from 'node:process')/.test(text),
  }
}

/** Every breach of the house's rules about imports, one line each; empty when there is none. */
export function findViolations(graph: ImportGraph): string[] {
  return [...graph].flatMap(([path, source]) => findViolationsOf(path, source, graph)).concat(findCycles(graph))
}

function findViolationsOf(path: string, source: SourceFile, graph: ImportGraph): string[] {
  const violations: string[] = []
  const area = areaOf(path)
  const allowed = [...new Set([...(arrows[area] ?? []), ...(isTest(path) ? arrowsOfTests : [])])]
  for (const target of source.imports) {
    const targetArea = areaOf(target)
    if (isFile(target) && targetArea !== area && !allowed.includes(targetArea)) {
      violations.push(`${path} imports ${target}: ${area} may import only ${['itself', ...allowed].join(', ')}`)
    }
    if (!isTest(path) && !mayEnter(path, target)) {
      violations.push(`${path} imports ${target}: ${roomOf(path)} may import only ${listRooms(path).join(', ')}`)
    }
    if (target.startsWith('@kubernetes/client-node') && area !== KUBERNETES_AREA) {
      violations.push(`${path} imports ${target}: only ${KUBERNETES_AREA} may`)
    }
    if (testFiles.test(target) && !isTest(path)) violations.push(`${path} imports ${target}: only tests may`)
  }
  if (source.readsEnvironment && !isTest(path) && !path.endsWith('/main.ts')) {
    violations.push(`${path} reads process.env: only a main.ts may`)
  }
  if (browserFiles.test(path) && !isTest(path)) {
    const found = findNodeOnlyImport(path, graph)
    if (found) violations.push(`${path} must run in browsers, but leads to ${found}`)
  }
  return violations
}

function isTest(path: string): boolean {
  return testFiles.test(path) || testFolders.test(path)
}

function areaOf(path: string): string {
  return path.startsWith(`${TEST_KIT}/`) ? TEST_KIT : path.slice(0, path.indexOf('/'))
}

/** `gateway/net/listener.ts` is in the room `net`; what stands beside the rooms of a folder is in none. */
function roomOf(path: string): string | undefined {
  const [area = '', room, file] = path.split('/')
  return file !== undefined && rooms[area] !== undefined ? room : undefined
}

/** Whether a file may import another one of its folder. */
function mayEnter(path: string, target: string): boolean {
  const room = roomOf(path)
  if (room === undefined || areaOf(target) !== areaOf(path)) return true
  const other = roomOf(target)
  const common = rooms[areaOf(path)]?.common ?? []
  if (other === undefined) return common.includes(posix.basename(target, '.ts'))
  return other === room || listRooms(path).includes(other)
}

/** Rooms that a file may import of, besides its own. A room that is not in the table may import of none. */
function listRooms(path: string): readonly string[] {
  return rooms[areaOf(path)]?.arrows[roomOf(path) ?? ''] ?? []
}

function isFile(target: string): boolean {
  return /\.(ts|mjs|json)$/.test(target)
}

/** The way from a file to the first import that only Node has, as `a.ts → b.ts → node:net`. */
function findNodeOnlyImport(start: string, graph: ImportGraph): string | undefined {
  const seen = new Set([start])
  const queue = [[start]]
  for (let way = queue.shift(); way; way = queue.shift()) {
    for (const target of graph.get(way.at(-1) ?? '')?.imports ?? []) {
      if (target.startsWith('node:') || nodeOnlyPackages.has(target)) return [...way, target].slice(1).join(' → ')
      if (!isFile(target) || seen.has(target)) continue
      seen.add(target)
      queue.push([...way, target])
    }
  }
  return undefined
}

/** Each import cycle once, as a line that names its files in order. */
function findCycles(graph: ImportGraph): string[] {
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path)
    if (start !== -1) cycles.push(`import cycle: ${[...way.slice(start), path].join(' → ')}`)
    if (start !== -1 || done.has(path)) return
    for (const target of graph.get(path)?.imports ?? []) if (graph.has(target)) visit(target, [...way, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  return cycles
}
