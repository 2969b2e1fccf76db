import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'

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

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }
}
