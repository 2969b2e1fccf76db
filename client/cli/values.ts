import { InvalidArgumentError } from 'commander'
import { clientTypes, type ClientOptions, type ClientTypeName } from '../index.ts'

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `500ms`, `10s`, `5m`, `1h` or `7d`, in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text)
  const [, count, unit] = match ?? []
  if (count === undefined || Number(count) === 0)
    throw new InvalidArgumentError('give a time such as 500ms, 10s, 5m, 1h or 7d')
  return Number(count) * units[unit as keyof typeof units]
}

/** `web:browser-1`: a client type and an id. */
export function parseDevice(text: string): ClientOptions['device'] {
  const at = text.indexOf(':')
  const clientType = text.slice(0, Math.max(at, 0))
  const imei = text.slice(at + 1)
  if (!isClientType(clientType) || imei === '') {
    throw new InvalidArgumentError(`give <kind>:<id>, such as web:laptop-1; kinds are ${clientTypes.join(', ')}`)
  }
  return { clientType, imei }
}

function isClientType(text: string): text is ClientTypeName {
  return (clientTypes as readonly string[]).includes(text)
}

/** Adds to the urls given so far; one value may hold several, separated by commas, as an environment variable does. */
export function collectUrls(text: string, former: readonly string[] | undefined): readonly string[] {
  const urls = text.split(',').map((url) => url.trim())
  return [...(former ?? []), ...urls.filter((url) => url !== '')]
}

/** A whole number, at least 1. */
export function parseCount(text: string): number {
  const count = Number(text)
  if (!/^\d{1,9}$/.test(text) || count < 1) throw new InvalidArgumentError('give a whole number, at least 1')
  return count
}
