import { encodeJsonRecord, type JsonRecord } from './json-records.ts'
import { boundOf, buildRoute, encodeHead, patchNumber, writeRecord } from './binary-message.ts'
import { bootIdOf } from '../../session/brokers/broker.ts'
import { readsBinary } from './boot-id.ts'
import { isMissed, type BusRecord, type Place } from './bus-record.ts'
import { ByteWriter } from './byte-writer.ts'

/** How a receiver's messages get to NATS. */
export interface Outlet {
  /** Who sends. */
  readonly brokerId: string
  readonly bootId: string
  send(brokerId: string, message: Buffer): void
}

/**
 * What goes to one process of another broker: the records of this turn, as one NATS message, and the number of the last one.
 * A record that is not sent uses up a number, too: so its receiver sees the hole.
 */
export class Receiver {
  /** Among all receivers. */
  readonly key: string
  readonly #brokerId: string
  /** Absent for a process that reads JSON alone, whose messages have no numbers. */
  readonly #route: string | undefined
  readonly #head: Buffer
  readonly #outlet: Outlet
  readonly #writer = new ByteWriter()
  #number = 0
  /** JSON alone: something was lost of which it does not know. */
  #lost = false
  /** Something was sent, or lost, since the last tick; and how many ticks nothing was. */
  #sent = false
  #quiet = 0

  constructor({ brokerId, incarnation }: Place, key: string, outlet: Outlet) {
    this.key = key
    this.#brokerId = brokerId
    if (readsBinary(incarnation)) this.#route = buildRoute(bootIdOf(incarnation), outlet.brokerId, outlet.bootId)
    this.#head = encodeHead(this.#route ?? '', 0)
    this.#outlet = outlet
  }

  /** Whether records of this turn wait for `flush`. */
  get pending(): boolean {
    return this.#writer.length > 0
  }

  /**
   * Adds a record to the message of this turn.
   *
   * @param mostBytes of a message, which may send what is there already
   * @returns bytes; 0 when the record alone is longer than NATS takes
   */
  add(record: BusRecord, frame: Uint8Array | undefined, mostBytes: number): number {
    this.#sent = true
    if (this.#route === undefined) return this.#addJson(record, frame, mostBytes)
    return this.#addBinary(record, frame, mostBytes)
  }

  /** A record was not sent. */
  lose(record: BusRecord): void {
    if (!isMissed(record)) return
    this.#sent = true
    this.#lost = true
    this.#number += 1
  }

  /** Sends what is there; or loses it. */
  flush(connected: boolean): void {
    const writer = this.#writer
    if (writer.length === 0) return
    this.#number += 1
    if (this.#route !== undefined) patchNumber(writer, this.#number)
    const message = writer.take()
    if (connected) this.#outlet.send(this.#brokerId, message)
    else this.#lost = true
  }

  /** Tells the number of the last message: what was lost before shows. One that reads JSON alone is told when it lost something. */
  tell(): void {
    this.flush(true)
    if (this.#route !== undefined) this.#outlet.send(this.#brokerId, encodeHead(this.#route, this.#number))
    else if (this.#lost) this.#outlet.send(this.#brokerId, encodeJsonRecord({ type: 'sync' }))
    this.#lost = false
  }

  /** The connection broke: what was sent lately may be lost. */
  doubt(): void {
    this.#lost = true
  }

  /** A tick has passed. @returns for how many ticks nothing was sent */
  tick(): number {
    this.#quiet = this.#sent ? 0 : this.#quiet + 1
    this.#sent = false
    return this.#quiet
  }

  #addBinary(record: BusRecord, frame: Uint8Array | undefined, mostBytes: number): number {
    const writer = this.#writer
    if (writer.length + boundOf(record) + (frame?.length ?? 0) > mostBytes / 2) this.flush(true)
    const begun = writer.length > 0
    if (!begun) writer.bytes(this.#head)
    const start = begun ? writer.length : 0
    writeRecord(writer, record, frame)
    const bytes = writer.length - start
    if (begun || writer.length <= mostBytes) return bytes
    writer.truncate(0)
    return 0
  }

  #addJson(record: BusRecord, frame: Uint8Array | undefined, mostBytes: number): number {
    const named: JsonRecord =
      record.type === 'transient' ? { ...record, tried: [...record.tried], origin: this.#outlet.brokerId } : record
    const bytes = encodeJsonRecord(named, frame)
    if (bytes.length > mostBytes) return 0
    if (this.#writer.length + bytes.length > mostBytes / 2) this.flush(true)
    this.#writer.bytes(bytes)
    return bytes.length
  }
}
