import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { Tally } from './tally.ts'

/** The gateway's metrics, in a registry of their own so that two gateways in one process do not mix. */
export class Metrics {
  readonly registry = new Registry()
  readonly connections = this.#gauge('im_connections', 'Connections held, by transport', ['transport'])
  readonly maxConnections = this.#gauge('im_connections_max', 'Connections that may be held')
  readonly pendingLogins = this.#gauge('im_pending_logins', 'Connections that have not sent their login yet')
  readonly waitingLogins = this.#gauge('im_waiting_logins', 'Logins that have come and wait for their turn')
  readonly troubles = this.#gauge('im_trouble', '1 while something is wrong that somebody has to mend, by reason', [
    'reason',
  ])
  readonly redisUp = this.#gauge('im_redis_up', '1 while Redis answers')
  readonly redisPersistent = this.#gauge(
    'im_redis_persistent',
    '1 while Redis has an append-only file or a replica, as far as is known',
  )
  readonly natsUp = this.#gauge('im_nats_up', '1 while NATS is connected')
  readonly logins = this.#counter('im_logins_total', 'Logins, by result: accepted or the code of the refusal', [
    'result',
  ])
  readonly frames = this.#tally('im_frames_received_total', 'Frames received, by type', 'type')
  readonly accepted = this.#tally('im_messages_accepted_total', 'Messages accepted, by kind', 'kind')
  readonly delivered = this.#tally('im_messages_delivered_total', 'Messages written to connections, by kind', 'kind')
  readonly dropped = this.#counter('im_transient_dropped_total', 'Transient messages dropped, by reason', ['reason'])
  readonly errors = this.#counter('im_errors_total', 'Requests refused, by code', ['code'])
  readonly closes = this.#counter('im_closes_total', 'Connections closed by the gateway, by code', ['code'])
  readonly httpRefused = this.#counter('im_http_refused_total', 'HTTP requests that opened no WebSocket, by status', [
    'status',
  ])
  readonly tlsErrors = this.#counter('im_tls_errors_total', 'Failed TLS handshakes')
  readonly tlsReloads = this.#counter('im_tls_reloads_total', 'Certificates read again, by result', ['result'])
  readonly busPublished = this.#counter('im_bus_published_total', 'NATS messages published to other brokers')
  readonly busRecords = this.#tally('im_bus_records_total', 'Records sent to other brokers, by type', 'type')
  readonly busDropped = this.#counter(
    'im_bus_dropped_total',
    'Records not sent: NATS was away, or takes none so long; by type',
    ['type'],
  )
  readonly busHoles = this.#counter(
    'im_bus_holes_total',
    'NATS messages of other brokers that did not come, or came out of order: heads were compared',
  )
  readonly busMalformed = this.#counter('im_bus_malformed_total', 'NATS messages that could not be read')
  readonly streamReads = this.#counter('im_stream_reads_total', 'Reads of an inbox: resume, gap or catch-up')
  readonly gaps = this.#counter('im_gaps_total', 'Gaps told to devices, by reason', ['reason'])
  readonly slowPauses = this.#counter('im_slow_consumer_pauses_total', 'Times that delivery paused for a slow client')
  readonly memoryBudget = this.#gauge('im_memory_budget_bytes', 'Limit of the bytes held for clients, Redis and NATS')
  /** What is used of the memory budget by kind, asked when the metrics are. */
  memoryInUse: Readonly<Record<string, number>> = {}
  readonly memoryUsed = new Gauge({
    name: 'im_memory_used_bytes',
    help: 'Bytes of the memory budget that are used, by kind',
    labelNames: ['kind'],
    registers: [this.registry],
    collect: () => {
      for (const [kind, bytes] of Object.entries(this.memoryInUse)) this.memoryUsed.set({ kind }, bytes)
    },
  })
  readonly memoryPressure = this.#gauge('im_memory_pressure', '1 while the memory budget is short')
  readonly leftToInbox = this.#counter(
    'im_left_to_inbox_total',
    'Times that durable messages were left to the inbox because memory or the bus was short, by part',
    ['by'],
  )
  readonly reasserted = this.#counter('im_sessions_reasserted_total', 'Sessions written again, by result', ['result'])
  readonly ghosts = this.#counter(
    'im_ghost_sessions_total',
    'Sessions ended that Redis showed as online and nobody held',
  )
  readonly primaryChanges = this.#counter(
    'im_redis_primary_changes_total',
    'Times that Redis had another primary, or was restarted: it may have lost its last writes',
  )
  readonly cleanedSessions = this.#counter('im_sessions_cleaned_total', 'Sessions of former incarnations removed')
  readonly appendSeconds = new Histogram({
    name: 'im_append_seconds',
    help: 'Time of append-and-route in Redis',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3],
    registers: [this.registry],
  })

  constructor() {
    // How far the event loop lags is asked 20 times a second: 100 times would be a third of what a gateway at rest costs.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 50 })
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] })
  }

  #tally(name: string, help: string, label: string): Tally {
    return new Tally(this.registry, name, help, label)
  }

  #counter<Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }
}
