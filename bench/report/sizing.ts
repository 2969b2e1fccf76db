import { buildTable, formatNumber } from './markdown.ts'
import type { Results } from './performance-table.ts'

/** The share of a core that is planned for: the rest is for peaks, and for a gateway that is away. */
const USE = 0.5
const MILLION = 1e6
const MESSAGES_A_DAY = 20

/** What machines carry, worked out from the figures; a dash where a work has no result. */
export function buildSizingTable(results: Results): string {
  const find = (work: string, column: string) =>
    results.get(work)?.rows.find(({ name }) => name === 'im')?.figures[column]?.median ?? Number.NaN
  const usPerMessage = find('w1b', 'gatewaysUs')
  const usAtPeak = find('w1a', 'gatewaysUs')
  const redisUs = find('w1a', 'redisUs')
  const coreAtRest = find('w4', 'core') / 100 / 10_000
  const kb = find('w4', 'bytes')
  const emptyMb = find('w4', 'gatewayMb')
  const loginUs = find('login', 'gatewaysUs')
  const [session, first, further] = [find('append', 'session'), find('append', 'first'), find('append', 'further')]
  const gigabytes = (bytes: number) => `${show(bytes / 1e9, 1)} GB`
  const rows = [
    ['connections at rest a core of a gateway', '½ core ÷ share of a core (W4)', show(USE / coreAtRest, -3)],
    [
      'messages/s a core of gateways, when it has little to do',
      '½ core ÷ CPU a message (W1b)',
      show((USE * 1e6) / usPerMessage, -2),
    ],
    [
      'messages/s a core of gateways, when it is busy',
      '½ core ÷ CPU a message (W1a)',
      show((USE * 1e6) / usAtPeak, -2),
    ],
    ['messages/s of one Redis', '½ core ÷ CPU of Redis a message (W1a)', show((USE * 1e6) / redisUs, -2)],
    ['logins/s a core of gateways', '½ core ÷ CPU a login', show((USE * 1e6) / loginUs, -1)],
    [
      'memory of a gateway with 50,000 connections',
      'empty + 50,000 × RSS a connection (W4)',
      gigabytes(emptyMb * 2 ** 20 + 50_000 * kb * 1024),
    ],
    ['a million users online: gateways of 50,000', '', show(MILLION / 50_000, 0)],
    [
      'a million users online: memory of gateways',
      '20 of them',
      gigabytes(20 * emptyMb * 2 ** 20 + MILLION * kb * 1024),
    ],
    ['a million users online: memory of Redis for sessions', 'a session each', gigabytes(MILLION * session)],
    [
      `a million users, ${MESSAGES_A_DAY} messages a day each, kept 7 days: memory of Redis`,
      `first + ${MESSAGES_A_DAY * 7 - 1} × further`,
      gigabytes(MILLION * (first + (MESSAGES_A_DAY * 7 - 1) * further)),
    ],
    [
      'the same: messages/s on average, and cores of gateways for them',
      'CPU a message (W1b)',
      `${show((MILLION * MESSAGES_A_DAY) / 86_400, 0)}; ${show((((MILLION * MESSAGES_A_DAY) / 86_400) * (usPerMessage / 1e6)) / USE, 1)}`,
    ],
  ]
  return buildTable(['', 'how', 'so much'], rows)
}

/** With so many decimals; with less than none, rounded to tens, hundreds and so on. */
function show(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return '–'
  const unit = 10 ** Math.max(0, -decimals)
  return formatNumber(
    Math.round(value / unit) * unit === 0 || decimals > 0 ? value : Math.round(value / unit) * unit,
    Math.max(0, decimals),
  )
}
