/** Gateways that a message names; of the others it has the number. */
const MAX_NAMES = 3

/** Names for a message: the first few, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : ''
  return `${names.slice(0, MAX_NAMES).join(', ')}${more}`
}
