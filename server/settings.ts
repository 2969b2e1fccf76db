import { z } from 'zod'

/** One setting: how the environment variable is read, and what the docs say of its default and meaning. */
export interface Setting<T = unknown> {
  readonly schema: z.ZodType<T>
  readonly shown: string
  readonly about: string
}

/** Settings by the name of their variable without its prefix. */
export type SettingsTable = Readonly<Record<string, Setting>>

type Values<Table extends SettingsTable> = { readonly [Name in keyof Table]: z.output<Table[Name]['schema']> }
/** `BROKER_ID` becomes `brokerId`. */
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${PascalCase<Tail>}`
  : Lowercase<Name>
type PascalCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Capitalize<Lowercase<Head>>}${PascalCase<Tail>}`
  : Capitalize<Lowercase<Name>>
/** What is read by a table: `BROKER_ID` is `brokerId`. */
export type SettingsOf<Table extends SettingsTable> = {
  readonly [Name in keyof Table as CamelCase<string & Name>]: Values<Table>[Name]
}

export function setting<T>(schema: z.ZodType<T>, shown: string, about: string): Setting<T> {
  return { schema, shown, about }
}

/** `shown` is what the docs say of a default that is made at the start. */
export function text(fallback: string | (() => string), about: string, shown?: string): Setting<string> {
  const schema = z.string().default(fallback as string)
  return setting(schema, shown ?? (typeof fallback === 'string' ? fallback : ''), about)
}

export function integer(fallback: number, [min, max]: readonly [number, number], about: string): Setting<number> {
  const schema = z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .default(String(fallback))
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))
  return setting(schema, String(fallback), about)
}

export function port(fallback: number, about: string): Setting<number> {
  return integer(fallback, [0, 65_535], `${about}; 0 lets the system choose`)
}

export function milliseconds(fallback: number, about: string, min = 1): Setting<number> {
  return integer(fallback, [min, 2_147_483_647], about)
}

export function choice<const Values extends readonly [string, ...string[]]>(
  values: Values,
  fallback: Values[number],
  about: string,
): Setting<Values[number]> {
  const schema = z.enum(values, `must be one of ${values.join(', ')}`)
  return setting(schema.default(fallback as never), fallback, about) as Setting<Values[number]>
}

/** Parts separated by commas. */
export const list = z.string().transform((value) =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
)

/** What Kubernetes sets for a Service of the prefix's name, unless a pod says `enableServiceLinks: false`. */
const serviceLink = /^(SERVICE_(HOST|PORT)|PORT)(_|$)/

/**
 * Reads settings from an environment. An empty variable counts as not set.
 *
 * @param foreign names with the prefix that belong to another program
 * @returns what was read, which is whole only when there are no mistakes; a variable with the prefix that is no setting
 * is one
 */
export function readSettings<Table extends SettingsTable>(
  prefix: string,
  table: Table,
  env: Readonly<Record<string, string | undefined>>,
  foreign: readonly string[] = [],
): { settings: SettingsOf<Table>; mistakes: string[] } {
  const mistakes: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, { schema }] of Object.entries(table)) {
    const result = schema.safeParse(env[prefix + name] || undefined)
    if (result.success) values[toCamelCase(name)] = result.data
    else mistakes.push(...result.error.issues.map((issue) => `${prefix}${name} ${issue.message}`))
  }
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith(prefix)) continue
    const name = variable.slice(prefix.length)
    if (!(name in table) && !foreign.includes(name) && !serviceLink.test(name))
      mistakes.push(`${variable} is no setting`)
  }
  return { settings: values as SettingsOf<Table>, mistakes }
}

/** The table of settings for the docs, in Markdown. */
export function buildSettingsTable(prefix: string, table: SettingsTable): string {
  const rows = Object.entries(table).map(
    ([name, { shown, about }]) => `| \`${prefix}${name}\` | ${shown === '' ? '' : `\`${shown}\``} | ${about} |`,
  )
  return ['| setting | default | meaning |', '| --- | --- | --- |', ...rows].join('\n')
}

function toCamelCase(name: string): string {
  return name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
}
