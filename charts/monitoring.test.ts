import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it, test } from 'node:test'
import type { Registry } from 'prom-client'
import { Metrics } from '../gateway/metrics.ts'
import { OperatorMetrics } from '../operator/metrics.ts'
import { lacks, parseYaml, renderChart } from './chart-kit.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}
interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[]
}
interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly targets?: readonly { readonly expr: string }[]
}
interface Dashboard {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly definition?: string }[] }
}

const read = (name: string) => readFileSync(new URL(`im-cluster-operator/files/${name}`, import.meta.url), 'utf8')
const rules = parseYaml(read('alerts.yaml')) as Rules
const dashboard = JSON.parse(read('dashboard.json')) as Dashboard

/** Labels that Prometheus sets on every series of a target, with those of the PodMonitor. */
const targetLabels = ['namespace', 'pod', 'imcluster']

/** Every series that there is, by name, with its labels. */
const series = new Map<string, readonly string[]>()
const metrics = [...list(new Metrics().registry), ...list(new OperatorMetrics().registry)]
for (const { name, type, labelNames = [] } of metrics) {
  if (type === 'histogram') {
    series.set(`${name}_bucket`, [...labelNames, 'le'])
    series.set(`${name}_sum`, labelNames)
    series.set(`${name}_count`, labelNames)
  } else series.set(name, labelNames)
}

/** prom-client's types hide what each metric has. */
function list(registry: Registry) {
  return registry.getMetricsAsArray() as unknown as { name: string; type: string; labelNames?: readonly string[] }[]
}

/** What an expression of PromQL asks for that no gateway and no operator has. */
function findUnknown(expr: string): string[] {
  const keywords = new Set(['by', 'without', 'and', 'or', 'unless', 'on', 'ignoring', 'bool', 'offset'])
  const text = expr.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').replaceAll(/\[[^\]]*\]/g, '')
  const grouped = [...text.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, labels = '']) =>
    labels.split(/[,\s]+/),
  )
  const rest = text.replaceAll(/\b(?:by|without)\s*\([^)]*\)/g, '')
  const unknown: string[] = []
  const names: string[] = []
  for (const [, name = '', matchers = ''] of rest.matchAll(
    /(?<![\w$])([a-zA-Z_:]\w*)\s*(?:\{([^}]*)\})?(?!\s*\(|\w)/g,
  )) {
    if (keywords.has(name) || rest.includes(`{${name}`)) continue
    const labels = series.get(name)
    if (labels === undefined) {
      if (!/(?:=~?|!=|!~)/.test(rest.slice(rest.indexOf(name) + name.length).slice(0, 2))) unknown.push(name)
      continue
    }
    names.push(name)
    for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=|!)/g)) {
      if (![...labels, ...targetLabels].includes(label)) unknown.push(`${name}{${label}}`)
    }
  }
  const has = new Set([...targetLabels, ...names.flatMap((name) => series.get(name) ?? [])])
  unknown.push(...grouped.filter((label) => label !== '' && !has.has(label)).map((label) => `by (${label})`))
  if (names.length === 0) unknown.push(`no metric: ${expr}`)
  return unknown
}

test('the check of expressions finds what is not there', () => {
  assert.deepEqual(findUnknown('sum by (pod) (rate(im_connections{namespace="a"}[5m])) > 1'), [])
  assert.deepEqual(findUnknown('rate(im_conections{namespace="a"}[5m])').slice(0, 1), ['im_conections'])
  assert.deepEqual(findUnknown('im_connections{kind="a"}'), ['im_connections{kind}'])
  assert.deepEqual(findUnknown('sum by (kind) (im_connections)'), ['by (kind)'])
  assert.deepEqual(findUnknown('im_redis_up / im_nats_down'), ['im_nats_down'])
})

test('every alert is about metrics and labels that there are, and says what it means', () => {
  const all = rules.groups.flatMap((group) => group.rules)
  assert.ok(all.length > 8)
  assert.equal(new Set(all.map(({ alert }) => alert)).size, all.length)
  for (const { alert, expr, labels, annotations } of all) {
    assert.deepEqual(findUnknown(expr), [], alert)
    assert.ok(['critical', 'warning'].includes(labels.severity), alert)
    assert.ok(annotations.summary.length > 10 && annotations.description.length > 20, alert)
    // What a text names must survive the grouping.
    const kept = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(/,\s*/))
    const used = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, name = '']) => name)
    assert.deepEqual(
      used.filter((name) => !kept.includes(name)),
      [],
      alert,
    )
  }
})

test('docs/operations.md explains every alert', () => {
  const text = readFileSync(new URL('../docs/operations.md', import.meta.url), 'utf8')
  const missing = rules.groups.flatMap((group) => group.rules).filter(({ alert }) => !text.includes(`\`${alert}\``))
  assert.deepEqual(
    missing.map(({ alert }) => alert),
    [],
  )
})

test('every panel of the dashboard is about metrics and labels that there are', () => {
  const { panels, templating } = dashboard
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const { type, title, targets = [] } of panels) {
    assert.equal(targets.length === 0, type === 'row', title)
    for (const { expr } of targets) assert.deepEqual(findUnknown(expr), [], title)
  }
  for (const { definition } of templating.list) {
    const metric = /^label_values\((\w+)/.exec(definition ?? '')?.[1]
    if (definition !== undefined) assert.ok(metric !== undefined && series.has(metric), definition)
  }
})

test('the dashboard shows every metric of our own', () => {
  const text = JSON.stringify(dashboard)
  const hidden = metrics.map(({ name }) => name).filter((name) => name.startsWith('im_') && !text.includes(name))
  assert.deepEqual(hidden, ['im_frames_received_total', 'im_tls_reloads_total'])
})

describe('the objects of monitoring', { skip: lacks('helm') }, () => {
  const names = ['serviceMonitor', 'gatewayPodMonitor', 'dashboard', 'prometheusRule', 'rulesConfigMap'] as const
  const render = (enabled: readonly string[]) =>
    renderChart('im-cluster-operator', {
      metrics: Object.fromEntries(names.map((name) => [name, { enabled: enabled.includes(name) }])),
    })
  const plain = render([]).length

  it('are there when they are wanted, each apart', () => {
    assert.equal(renderChart('im-cluster-operator').length, plain, 'none is by default')
    const added = Object.fromEntries(names.map((name) => [name, render([name]).length - plain]))
    assert.deepEqual(added, {
      serviceMonitor: 2,
      gatewayPodMonitor: 1,
      dashboard: 1,
      prometheusRule: 1,
      rulesConfigMap: 1,
    })
  })

  it('hold the dashboard and the rules word for word', () => {
    const objects = render(names)
    const configMaps = objects.filter(({ kind }) => kind === 'ConfigMap')
    const data = Object.assign({}, ...configMaps.map((object) => object['data'])) as Record<string, string>
    assert.deepEqual(JSON.parse(data['im-cluster.json'] ?? ''), dashboard)
    assert.deepEqual(parseYaml(data['im-cluster.rules.yaml'] ?? ''), rules)
    assert.deepEqual(objects.find(({ kind }) => kind === 'PrometheusRule')?.['spec'], rules)
  })
})
