import { fileURLToPath } from 'node:url'
import { InvalidArgumentError, Option, type Command } from 'commander'

/** Which checkouts are measured, and how often. */
export interface VersionOptions {
  readonly gateway: string
  readonly vs?: string
  readonly rounds: number
}

/** An option whose value is a whole number within a range. */
export function buildIntegerOption(
  flags: string,
  description: string,
  byDefault: number,
  [least, most]: readonly [number, number],
): Option {
  const parse = (text: string): number => {
    const value = Number(text)
    if (!/^\d{1,9}$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`give a whole number from ${least} to ${most}`)
    }
    return value
  }
  return new Option(flags, description).argParser(parse).default(byDefault)
}

export function addVersionOptions(command: Command): Command {
  const here = fileURLToPath(new URL('..', import.meta.url))
  return command
    .addOption(new Option('--gateway <folder>', 'the checkout that is measured: A').default(here, 'this one'))
    .option('--vs <folder>', 'another checkout, such as the former release: B, measured in turn with A')
    .addOption(buildIntegerOption('--rounds <n>', 'how often to measure each', 3, [1, 100]))
}
