import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { V1EnvVar } from '../../controller/kubernetes.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs some code in a process of its own: the operator never imports the gateway, but is tested against it. */
async function evaluate(code: string, input: unknown): Promise<unknown> {
  const args = ['--input-type=module', '--eval', `const input = JSON.parse(process.argv[1]); ${code}`]
  const { stdout } = await promisify(execFile)(process.execPath, [...args, JSON.stringify(input)], { cwd: root })
  return JSON.parse(stdout)
}

/** Every setting of the gateway, with its default as the docs show it. */
export async function readGatewaySettings(): Promise<ReadonlyMap<string, string>> {
  const code = `const gateway = await import(input); console.log(JSON.stringify(gateway.buildSettingsTable()))`
  const table = (await evaluate(code, './gateway/settings.ts')) as string
  return new Map(
    [...table.matchAll(/^\| `(IM_\w+)` \| (?:`(.*?)`)? \|/gm)].map(([, name = '', shown = '']) => [name, shown]),
  )
}

/** What the gateway makes of each environment: the settings, or its error. */
export async function parseGatewaySettings(
  environments: readonly Readonly<Record<string, string>>[],
): Promise<(Record<string, unknown> | string)[]> {
  const code = `const gateway = await import(input.path)
    const parse = (env) => { try { return gateway.parseSettings(env) } catch (error) { return error.message } }
    console.log(JSON.stringify(input.environments.map(parse)))`
  const parsed = await evaluate(code, { path: './gateway/settings.ts', environments })
  return parsed as (Record<string, unknown> | string)[]
}

/** The numbers of the protocol's client types. */
export async function readClientTypes(): Promise<readonly string[]> {
  const code = `const frames = await import(input); console.log(JSON.stringify(frames.clientTypes))`
  return (await evaluate(code, './protocol/frames.ts')) as string[]
}

/** The environment as the kubelet makes it: what is referred to has a value of at least 32 bytes. */
export function resolveEnvironment(variables: readonly V1EnvVar[]): Record<string, string> {
  return Object.fromEntries(variables.map((variable) => [variable.name, resolve(variable)]))
}

function resolve({ value, valueFrom }: V1EnvVar): string {
  return value ?? `${valueFrom?.fieldRef ? 'field' : 'secret'}-${'x'.repeat(32)}`
}
