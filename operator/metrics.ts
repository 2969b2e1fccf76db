import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { conditionTypes } from './api/conditions.ts'
import type { ImCluster, ImClusterStatus } from './api/imcluster.ts'
import { keyOf } from '../controller/resource.ts'

/** As the gateways' series have them. A ServiceMonitor needs `honorLabels` to keep the namespace. */
const CLUSTER_LABELS = ['namespace', 'imcluster'] as const

/** The operator's metrics. */
export class OperatorMetrics {
  readonly registry = new Registry()
  readonly leading = new Gauge({
    name: 'im_operator_leading',
    help: '1 while this process leads',
    registers: [this.registry],
  })
  readonly queueDepth = new Gauge({
    name: 'im_operator_queue_depth',
    help: 'Clusters that wait for a worker',
    registers: [this.registry],
  })
  readonly reconciles = new Counter({
    name: 'im_operator_reconciles_total',
    help: 'Passes over a cluster, by result',
    labelNames: ['result'],
    registers: [this.registry],
  })
  readonly reconcileSeconds = new Histogram({
    name: 'im_operator_reconcile_seconds',
    help: 'Time of one pass over a cluster',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers: [this.registry],
  })
  readonly cleanups = new Counter({
    name: 'im_operator_cleanups_total',
    help: 'Dead gateways cleaned up after',
    registers: [this.registry],
  })
  readonly sessionsRemoved = new Counter({
    name: 'im_operator_sessions_removed_total',
    help: 'Sessions of dead gateways removed',
    registers: [this.registry],
  })
  readonly orphanSessions = new Counter({
    name: 'im_operator_orphan_sessions_total',
    help: 'Sessions that a cleanup could not read and left behind; should stay 0',
    registers: [this.registry],
  })
  readonly watchErrors = new Counter({
    name: 'im_operator_watch_errors_total',
    help: 'Failures of a list or watch, tried again, by kind of object',
    labelNames: ['kind'],
    registers: [this.registry],
  })
  readonly eventsDropped = new Counter({
    name: 'im_operator_events_dropped_total',
    help: 'Events that were not written: too many, or refused',
    registers: [this.registry],
  })

  readonly #conditions = new Gauge({
    name: 'im_imcluster_condition',
    help: '1 while the condition of an ImCluster is True, by condition',
    labelNames: [...CLUSTER_LABELS, 'condition'],
    registers: [this.registry],
  })
  readonly #wanted = new Gauge({
    name: 'im_imcluster_spec_replicas',
    help: 'Gateways wanted',
    labelNames: CLUSTER_LABELS,
    registers: [this.registry],
  })
  readonly #ready = new Gauge({
    name: 'im_imcluster_status_ready_replicas',
    help: 'Gateways that accept clients',
    labelNames: CLUSTER_LABELS,
    registers: [this.registry],
  })

  readonly #cutOff = new Counter({
    name: 'im_imcluster_drain_cut_clients_total',
    help: 'Clients that gateways cut off when they left, as they had not moved in time',
    labelNames: CLUSTER_LABELS,
    registers: [this.registry],
  })

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /** Shows an ImCluster as its status does. */
  showCluster({ metadata, spec }: ImCluster, { conditions = [], readyReplicas = 0 }: ImClusterStatus): void {
    const labels = labelsOf(keyOf(metadata))
    this.#wanted.set(labels, spec.replicas)
    this.#ready.set(labels, readyReplicas)
    // From 0 on: a rate does not see the first value of a series.
    this.#cutOff.inc(labels, 0)
    for (const { type, status } of conditions) {
      this.#conditions.set({ ...labels, condition: type }, status === 'True' ? 1 : 0)
    }
  }

  /** A gateway of an ImCluster left, and cut clients off. @param key `namespace/name` */
  countCutOff(key: string, clients: number): void {
    this.#cutOff.inc(labelsOf(key), clients)
  }

  /** An ImCluster is gone. @param key `namespace/name` */
  hideCluster(key: string): void {
    const labels = labelsOf(key)
    this.#wanted.remove(labels)
    this.#ready.remove(labels)
    this.#cutOff.remove(labels)
    for (const condition of conditionTypes) this.#conditions.remove({ ...labels, condition })
  }

  /** This process leads no longer: the next leader shows them. */
  hideClusters(): void {
    for (const metric of [this.#conditions, this.#wanted, this.#ready, this.#cutOff]) metric.reset()
  }
}

function labelsOf(key: string): { namespace: string; imcluster: string } {
  const [namespace = '', imcluster = ''] = key.split('/')
  return { namespace, imcluster }
}
