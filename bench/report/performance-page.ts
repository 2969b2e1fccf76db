import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { readResults } from './files.ts'
import { buildPeerTable } from './peer-table.ts'
import { buildMachineList, buildTargetTable, type Results } from './performance-table.ts'
import { buildSizingTable } from './sizing.ts'

const pages = ['docs/performance.md', 'README.md'].map((file) =>
  fileURLToPath(new URL(`../../${file}`, import.meta.url)),
)
const results = fileURLToPath(new URL('../results', import.meta.url))

const tables: Readonly<Record<string, (results: Results) => string>> = {
  targets: buildTargetTable,
  machines: buildMachineList,
  sizing: buildSizingTable,
  peers: buildPeerTable,
}

/** Fills what stands between the markers of a page with tables of the results. */
export async function fillPage(text: string, found: Results): Promise<string> {
  const filled = text.replaceAll(
    /(<!-- bench: (\w+) -->)[^]*?(<!-- \/bench -->)/g,
    (whole, begin: string, name: string, end: string) => {
      const build = tables[name]
      return build ? `${begin}\n\n${build(found)}\n\n${end}` : whole
    },
  )
  return format(filled, { parser: 'markdown', printWidth: 120 })
}

/** Writes the tables of docs/performance.md and README.md anew, from bench/results. */
export async function writePerformancePages(): Promise<void> {
  const found = await readResults(results)
  for (const page of pages) await writeFile(page, await fillPage(await readFile(page, 'utf8'), found))
}
