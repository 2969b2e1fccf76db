import { loadYaml } from '../controller/kubernetes.ts'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A rendered object, as plain JSON. */
export interface Rendered {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[]
  readonly securityContext?: unknown
  readonly [field: string]: unknown
}

export interface PodSpec {
  readonly automountServiceAccountToken?: boolean
  readonly securityContext?: { readonly runAsNonRoot?: boolean; readonly seccompProfile?: unknown }
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes?: readonly Readonly<Record<string, unknown>>[]
  readonly [field: string]: unknown
}

export type ChartName = 'im-cluster-operator' | 'im-cluster'

const DEADLINE_MS = 30_000
const root = fileURLToPath(new URL('.', import.meta.url))

/** The version of the package, which is that of the charts and the default tag of the image. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** False, or why tests with a program are skipped: for the option `skip` of a test. */
export function lacks(program: 'helm' | 'kubeconform'): string | false {
  const found =
    spawnSync(program, [program === 'helm' ? 'version' : '-v'], { timeout: DEADLINE_MS }).error === undefined
  return found ? false : `${program} is not on the PATH`
}

/** Runs a program in charts/, with values that a file would have as `--values -`. */
export function runTool(program: string, args: readonly string[], input = ''): { ok: boolean; output: string } {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    input,
    encoding: 'utf8',
    timeout: DEADLINE_MS,
  })
  if (error !== undefined) throw error
  return { ok: status === 0, output: status === 0 ? stdout : stderr + stdout }
}

/** Runs `helm lint` or `helm template` on a chart, for a release `im` in the namespace `chat`. */
export function runHelm(verb: 'lint' | 'template', chart: string, values: object = {}, release = 'im') {
  const args = verb === 'lint' ? ['lint', '--strict', chart] : ['template', release, chart]
  // The version of Kubernetes: a helm that was built without one believes in 1.20.
  return runTool('helm', [...args, '--namespace=chat', '--kube-version=1.34', '--values=-'], JSON.stringify(values))
}

/** Renders a chart. Throws what Helm says when it refuses. */
export function renderChart(chart: ChartName, values: object = {}, release = 'im'): Rendered[] {
  const { ok, output } = runHelm('template', chart, values, release)
  if (!ok) throw new Error(output)
  return parseObjects(output)
}

/** What a chart tells after an install: `helm template` leaves it out, so a copy of the chart has it as an object, too. */
export function renderNotes(chart: ChartName, values: object = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'im-notes-'))
  try {
    cpSync(join(root, chart), folder, { recursive: true })
    const notes = '{{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}'
    writeFileSync(join(folder, 'templates/notes.yaml'), `kind: Notes\nmetadata: { name: notes }\nnotes: ${notes}\n`)
    const { ok, output } = runHelm('template', folder, values)
    if (!ok) throw new Error(output)
    return String(parseObjects(output).find(({ kind }) => kind === 'Notes')?.['notes'])
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Parses the documents of a YAML stream as they are. */
function parseObjects(yaml: string): Rendered[] {
  return yaml
    .split(/^---$/m)
    .filter((document) => /^\w/m.test(document))
    .map((document) => parseYaml(document) as Rendered)
}

export function parseYaml(text: string): unknown {
  // As the outermost value loadYaml would turn an object of Kubernetes into a class that renames fields.
  return loadYaml<{ document: unknown }>(`document:\n${text.replace(/^/gm, '  ')}`).document
}

/** The pod of a workload: of a Deployment or a Job. */
export function podOf(object: Rendered): PodSpec | undefined {
  const { spec } = object as { spec?: { template?: { spec?: PodSpec } } }
  return spec?.template?.spec
}

/** What Pod Security's level restricted, and the house, ask of a pod; a line for each breach. */
export function findSecurityFaults(object: Rendered): string[] {
  const pod = podOf(object)
  if (pod === undefined) return []
  const name = `${object.kind} ${object.metadata.name}`
  const faults: string[] = []
  const check = (holds: boolean, fault: string): void => {
    if (!holds) faults.push(`${name}: ${fault}`)
  }
  check(pod.securityContext?.runAsNonRoot === true, 'may run as root')
  check(isSame(pod.securityContext?.seccompProfile, { type: 'RuntimeDefault' }), 'no seccomp profile')
  check(pod['enableServiceLinks'] === false, 'has the addresses of Services in its environment')
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) check(pod[field] === undefined, field)
  check(!(pod.volumes ?? []).some((volume) => 'hostPath' in volume), 'hostPath')
  for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
    const wanted = {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    }
    check(isSame(container.securityContext, wanted), `${container.name}: its securityContext is not as wanted`)
    check('resources' in container, `${container.name}: no resources`)
    for (const { name: variable, value } of container.env ?? []) {
      check(
        value === undefined || !/SECRET|PASSWORD|TOKEN/.test(variable),
        `${container.name}: ${variable} is in plain text`,
      )
    }
  }
  return faults
}

function isSame(found: unknown, wanted: unknown): boolean {
  return JSON.stringify(found) === JSON.stringify(wanted)
}
