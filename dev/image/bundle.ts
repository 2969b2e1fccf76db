import { readFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { build as bundle, type Metafile, type Plugin } from 'esbuild'

/** Programs of the image, by the name of their bundle. */
export const programs: Readonly<Record<string, string>> = {
  gateway: 'gateway/main.ts',
  operator: 'operator/main.ts',
  im: 'client/cli/main.ts',
}

/** A file to be written; its path is absolute. */
export interface BundledFile {
  readonly path: string
  readonly contents: Uint8Array
}
export interface Bundle {
  readonly files: readonly BundledFile[]
  /** Folders of the packages of which something is in it, from the repository's root, sorted. */
  readonly packages: readonly string[]
}

/** What V8 reads at each start: short lines, as Node prints one beside an error that nobody caught. */
const MAX_LINE = 160

/**
 * Of packages a stack trace names the file alone, and 1 as its line: all of their lines would be most of the maps, which a process
 * keeps in memory as a whole.
 */
const mapPackagesByFile: Plugin = {
  name: 'map packages by file',
  setup: (build) => {
    build.onLoad({ filter: /[\\/]node_modules[\\/].*\.[cm]?js$/ }, ({ path }) => {
      const map = Buffer.from(JSON.stringify({ version: 3, sources: [basename(path)], mappings: 'AAAA' }))
      const comment = `//# sourceMappingURL=data:application/json;base64,${map.toString('base64')}`
      return { contents: `${readFileSync(path, 'utf8')}\n${comment}`, loader: 'js' }
    })
  },
}
/** An `import` of node:http evaluates all that it exports, of which one loads the whole of fetch; a `require` does not. */
const loadHttpAlone: Plugin = {
  name: 'load http alone',
  setup: (build) => {
    build.onResolve({ filter: /^(node:)?http$/ }, () => ({ path: 'node:http', namespace: 'builtin' }))
    build.onLoad({ filter: /./, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}')`,
    }))
  },
}
/** Messages of zod in fifty languages, of which nothing uses any but English, would be a tenth of all. */
const leaveLanguagesOut: Plugin = {
  name: 'leave languages out',
  setup: (build) => {
    build.onResolve({ filter: /^\.\.\/locales\/index\.js$/ }, ({ resolveDir }) =>
      /[\\/]zod[\\/]v4[\\/]/.test(resolveDir) ? { path: resolve(resolveDir, '../locales/en.js') } : undefined,
    )
  },
}

/**
 * Bundles the programs, as JavaScript modules that share what they have in common.
 *
 * @param root of the repository, with its packages
 * @param folder where the bundle will stand: beside the folders of the programs, so that maps lead to where the TypeScript would be
 */
export async function bundlePrograms(root: string, folder: string): Promise<Bundle> {
  const { outputFiles, metafile } = await bundle({
    absWorkingDir: root,
    entryPoints: programs,
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    // Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: MAX_LINE,
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    // Packages in CommonJS ask for Node's own modules by it.
    banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    plugins: [mapPackagesByFile, loadHttpAlone, leaveLanguagesOut],
    metafile: true,
    write: false,
  })
  const files = outputFiles.map(({ path, contents }) => ({
    path,
    contents: path.endsWith('.map') ? moveSources(contents, root, folder) : contents,
  }))
  return { files, packages: listPackages(metafile) }
}

/** Sources are named from where they were built: from the folder's parent they shall be as from the root. */
function moveSources(contents: Uint8Array, root: string, folder: string): Uint8Array {
  const map = JSON.parse(new TextDecoder().decode(contents)) as { sources: string[] }
  const move = (source: string) => relative(folder, join(dirname(folder), relative(root, resolve(folder, source))))
  return new TextEncoder().encode(JSON.stringify({ ...map, sources: map.sources.map(move) }))
}

function listPackages({ outputs }: Metafile): string[] {
  const inputs = Object.values(outputs).flatMap(({ inputs: parts }) => Object.entries(parts))
  const folders = inputs.map(([path, { bytesInOutput }]) =>
    bytesInOutput > 0 ? /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] : undefined,
  )
  return [...new Set(folders.filter((it) => it !== undefined))].toSorted()
}
