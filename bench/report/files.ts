import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { format } from 'prettier'
import { buildPage } from './markdown.ts'
import type { Result } from './result.ts'
import { drawPlot } from './svg.ts'

/** Writes JSON, page and pictures of a work, in place of those of its former run. */
export async function writeResult(folder: string, result: Result): Promise<void> {
  await mkdir(folder, { recursive: true })
  const { work } = result
  for (const file of await readdir(folder)) {
    if (file.startsWith(`${work}.`) || (file.startsWith(`${work}-`) && file.endsWith('.svg')))
      await rm(join(folder, file))
  }
  const pretty = { printWidth: 120, semi: false, singleQuote: true }
  await writeFile(join(folder, `${work}.json`), await format(JSON.stringify(result), { ...pretty, parser: 'json' }))
  await writeFile(join(folder, `${work}.md`), await format(buildPage(result), { ...pretty, parser: 'markdown' }))
  for (const plot of result.plots) await writeFile(join(folder, `${work}-${plot.name}.svg`), drawPlot(result, plot))
}

/** The results in a folder, by work. */
export async function readResults(folder: string): Promise<Map<string, Result>> {
  const files = (await readdir(folder).catch(() => [])).filter((file) => file.endsWith('.json'))
  const results = await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as Result),
  )
  return new Map(results.map((result) => [result.work, result]))
}
