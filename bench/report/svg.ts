import { formatNumber } from './markdown.ts'
import type { Plot } from './plot.ts'
import type { Result } from './result.ts'

const WIDTH = 760
const LEFT = 170
const RIGHT = 110
const TOP = 48
const BAR = 26
const COLORS = ['#2563eb', '#f59e0b', '#10b981', '#ef4444', '#8b5cf6', '#64748b'] as const
const FONT = 'font-family="system-ui, sans-serif" font-size="13" fill="#334155"'

/** A picture, readable on white and on dark pages. */
export function drawPlot(result: Result, plot: Plot): string {
  const { body, height } = plot.kind === 'bars' ? drawBars(result, plot) : drawLines(result, plot)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(plot.title)}">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="22" ${FONT} font-weight="600">${escape(plot.title)}</text>`,
    ...body,
    '</svg>',
    '',
  ].join('\n')
}

interface Drawing {
  readonly body: readonly string[]
  readonly height: number
}

/** A bar for each row; the medians of the columns follow each other in it. */
function drawBars({ rows, columns }: Result, { columns: keys, except = [] }: Plot): Drawing {
  const shown = rows.filter(({ name, figures }) => !except.includes(name) && keys.some((key) => figures[key]))
  const sumOf = (figures: (typeof rows)[number]['figures']) =>
    keys.reduce((sum, key) => sum + (figures[key]?.median ?? 0), 0)
  const most = Math.max(...shown.map(({ figures }) => sumOf(figures)), Number.MIN_VALUE)
  const scale = (WIDTH - LEFT - RIGHT) / most
  const decimals = columns[keys[0] ?? '']?.decimals ?? 1
  const bars = shown.flatMap(({ name, figures }, index) => {
    const y = TOP + index * BAR
    let x = LEFT
    const parts = keys.map((key, part) => {
      const width = (figures[key]?.median ?? 0) * scale
      x += width
      return `<rect x="${place(x - width)}" y="${y}" width="${place(width)}" height="${BAR - 8}" fill="${color(part)}"/>`
    })
    const sum = formatNumber(sumOf(figures), decimals)
    return [
      write(LEFT - 8, y + 14, name, 'end'),
      ...parts,
      `<text x="${place(x + 6)}" y="${y + 14}" ${FONT}>${sum}</text>`,
    ]
  })
  const legend = keys.length > 1 ? drawLegend(keys.map((key) => columns[key]?.title ?? key)) : []
  return { body: [...legend, ...bars], height: TOP + shown.length * BAR + 12 }
}

/** A line for each peer of rows `<peer> × <number>`, of the one column; numbers stand at equal distances. */
function drawLines({ rows, columns }: Result, { columns: [key = ''], except = [] }: Plot): Drawing {
  const points = rows.flatMap(({ name, figures }) => {
    const [peer = '', number] = name.split(' × ')
    const summary = figures[key]
    return summary && !except.includes(peer) ? [{ peer, number: Number(number), value: summary.median }] : []
  })
  const numbers = [...new Set(points.map(({ number }) => number))].toSorted((a, b) => a - b)
  const peers = [...new Set(points.map(({ peer }) => peer))]
  const most = Math.max(...points.map(({ value }) => value), Number.MIN_VALUE)
  const [left, bottom, tall] = [70, 300, 230]
  const wide = (WIDTH - left - 60) / Math.max(1, numbers.length - 1)
  const x = (number: number) => left + numbers.indexOf(number) * wide
  const y = (value: number) => bottom - (value / most) * tall
  const axis = [
    `<path d="M${left} ${bottom - tall}V${bottom}H${WIDTH - 60}" fill="none" stroke="#94a3b8"/>`,
    ...[0, most / 2, most].map((value) =>
      write(left - 8, y(value) + 4, formatNumber(value, columns[key]?.decimals ?? 1), 'end'),
    ),
    ...numbers.map((number) => write(x(number), bottom + 20, `${number}`, 'middle')),
  ]
  const lines = peers.flatMap((peer, index) => {
    const own = points.filter((point) => point.peer === peer).toSorted((a, b) => a.number - b.number)
    const path = own.map(({ number, value }) => `${place(x(number))},${place(y(value))}`)
    return [
      `<polyline points="${path.join(' ')}" fill="none" stroke="${color(index)}" stroke-width="2"/>`,
      ...path.map((at) => `<circle cx="${at.replace(',', '" cy="')}" r="3" fill="${color(index)}"/>`),
    ]
  })
  return { body: [...drawLegend(peers), ...axis, ...lines], height: bottom + 36 }
}

function drawLegend(names: readonly string[]): string[] {
  return names.flatMap((name, index) => {
    const x = LEFT + index * 150
    return [`<rect x="${x}" y="30" width="10" height="10" fill="${color(index)}"/>`, write(x + 16, 40, name, 'start')]
  })
}

function write(x: number, y: number, text: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${place(x)}" y="${place(y)}" ${FONT} text-anchor="${anchor}">${escape(text)}</text>`
}

function color(index: number): string {
  return COLORS[index % COLORS.length] ?? COLORS[0]
}

function place(value: number): string {
  return value.toFixed(1)
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
