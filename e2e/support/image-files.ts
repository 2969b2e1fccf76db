import { runShell } from './shell.ts'
import { run } from '../../test/kit/kubernetes/command.ts'

/** A file or link of an image. */
export interface ImageFile {
  /** From the root, without the first slash. */
  readonly path: string
  readonly bytes: number
  readonly executable: boolean
}

/** Lists all that an image has. Nothing of it runs: an image need not have a shell. */
export async function listFiles(image: string): Promise<ImageFile[]> {
  const container = (await run('docker', ['create', image])).trim()
  const listing = await runShell(`docker export ${container} | tar --list --verbose --numeric-owner`, 120_000)
  await run('docker', ['rm', container])
  return listing
    .split('\n')
    .map((line) => /^([-lh])(\S+)\s+\S+\s+(\d+)\s+\S+\s+\S+\s+(.*?)(?: -> .*| link to .*)?$/.exec(line))
    .filter((match) => match !== null)
    .map(([, , mode = '', bytes, path = '']) => ({ path, bytes: Number(bytes), executable: mode.includes('x') }))
}
