/**
 * Every frame of the protocol, defined once. The binary and the JSON codec, the TypeScript types and the tables of
 * docs/protocol.md follow from this table.
 */

/** The version in the header of every binary frame and in the WebSocket subprotocol names. */
export const PROTOCOL_VERSION = 1

/** WebSocket subprotocols, most preferred first. A client that offers none gets JSON. */
export const subprotocols = { binary: 'im.bin.v1', json: 'im.json.v1' } as const

/** Device classes: the numbers of `clientType`. */
export const clientTypes = ['api', 'web', 'ios', 'android', 'windows', 'macos'] as const
/** `clientType` in a `close` frame that no device caused. */
export const NO_CLIENT_TYPE = 255

/** Limits that both sides know, in bytes of UTF-8 unless a count. */
export const limits = {
  userId: 128,
  imei: 128,
  version: 64,
  messageId: 64,
  token: 8192,
  /** Users in one presence request. */
  presenceUsers: 100,
  /** The largest frame accepted before login: room for a token and little else. */
  loginFrame: 16_384,
  /** A payload must be this much smaller than the largest frame: a `message` says more than the `send` before it. */
  payloadMargin: 512,
} as const

type Primitive = 'u8' | 'u16' | 'u32' | 'u64' | 'bool' | 'string' | 'bytes' | 'strings' | 'u8s'
/** How a field is encoded: a primitive, an enumeration (its index as u8; its name in JSON), or a list of records. */
export type FieldType = Primitive | { readonly enum: readonly string[] } | { readonly list: Record<string, FieldType> }
/** A field. One with a default may be left out in JSON, and at the end of a binary body. */
export type Field = FieldType | { readonly type: FieldType; readonly default: unknown }
export type Fields = Record<string, Field>

export const frames = {
  // Client to gateway.
  login: {
    id: 0x01,
    from: 'client',
    fields: {
      requestId: { type: 'u32', default: 0 },
      token: 'string',
      clientType: { type: 'u8', default: 1 },
      imei: 'string',
      version: { type: 'string', default: '' },
      /** The device's own cursor: epoch of its inbox and last seq it has; an empty epoch means "use the stored one". */
      epoch: { type: 'string', default: '' },
      seq: { type: 'u64', default: 0 },
      /** Where a device without any cursor starts: at the earliest retained message, or after the newest. */
      start: { type: { enum: ['earliest', 'head'] }, default: 'earliest' },
    },
  },
  renew: { id: 0x02, from: 'client', fields: { requestId: { type: 'u32', default: 0 }, token: 'string' } },
  logout: { id: 0x03, from: 'client', fields: { requestId: { type: 'u32', default: 0 } } },
  send: {
    id: 0x04,
    from: 'client',
    fields: {
      requestId: { type: 'u32', default: 0 },
      messageId: { type: 'string', default: '' },
      to: 'string',
      durable: { type: 'bool', default: true },
      payload: 'bytes',
    },
  },
  /** Cumulative: everything of the stream up to and including `seq` has been handled. One of another epoch is ignored. */
  ack: {
    id: 0x05,
    from: 'client',
    fields: { stream: { type: 'string', default: 'inbox' }, epoch: 'string', seq: 'u64' },
  },
  presence: { id: 0x06, from: 'client', fields: { requestId: { type: 'u32', default: 0 }, userIds: 'strings' } },

  // Both directions.
  ping: { id: 0x10, from: 'both', fields: {} },
  pong: { id: 0x11, from: 'both', fields: {} },

  // Gateway to client.
  loggedIn: {
    id: 0x41,
    from: 'gateway',
    fields: {
      requestId: 'u32',
      appId: 'u32',
      userId: 'string',
      connectionId: 'string',
      brokerId: 'string',
      /** The inbox: its epoch, the seq after which delivery goes on, and the newest seq. */
      epoch: 'string',
      seq: 'u64',
      head: 'u64',
      /** Send a ping at least this often, in milliseconds. */
      heartbeatMs: 'u32',
      /** When the token expires, in milliseconds since 1970; 0 for never. */
      expiresAt: 'u64',
      maxFrameBytes: 'u32',
    },
  },
  renewed: { id: 0x42, from: 'gateway', fields: { requestId: 'u32', expiresAt: 'u64' } },
  /** `seq` is 0 for a transient message. `duplicate`: this messageId had been accepted before, under the same seq. */
  accepted: { id: 0x44, from: 'gateway', fields: { requestId: 'u32', seq: 'u64', sentAt: 'u64', duplicate: 'bool' } },
  presenceState: {
    id: 0x46,
    from: 'gateway',
    fields: { requestId: 'u32', users: { list: { userId: 'string', clientTypes: 'u8s' } } },
  },
  /** `seq` is 0 for a transient message, which is never acknowledged. */
  message: {
    id: 0x47,
    from: 'gateway',
    fields: {
      stream: 'string',
      seq: 'u64',
      from: 'string',
      clientType: 'u8',
      messageId: 'string',
      sentAt: 'u64',
      payload: 'bytes',
    },
  },
  /**
   * Messages that the device should have got are not to be had. `trimmed`: fromSeq to toSeq passed the retention; when
   * fromSeq is toSeq + 1 nothing is missing, and the stream only has a new epoch. `reset`: the stream lost messages, and
   * agrees with what the device has up to toSeq. Either way delivery goes on with toSeq + 1 in `epoch`.
   */
  gap: {
    id: 0x48,
    from: 'gateway',
    fields: { stream: 'string', epoch: 'string', fromSeq: 'u64', toSeq: 'u64', reason: { enum: ['trimmed', 'reset'] } },
  },
  /** Another device of the same user logged in or left. */
  notice: {
    id: 0x49,
    from: 'gateway',
    fields: { event: { enum: ['joined', 'left'] }, clientType: 'u8', imei: 'string' },
  },
  /** Open a connection elsewhere after `delayMs`; this one is closed after `deadlineMs` at the latest. */
  goAway: { id: 0x4a, from: 'gateway', fields: { delayMs: 'u32', deadlineMs: 'u32' } },
  /** A request is refused; requestId 0 answers none in particular. The connection goes on. */
  error: { id: 0x4e, from: 'gateway', fields: { requestId: 'u32', code: 'u16', message: 'string' } },
  /** The last frame of a connection. `clientType`: the device that displaced this one, 255 when none did. */
  close: { id: 0x4f, from: 'gateway', fields: { code: 'u16', message: 'string', clientType: 'u8' } },
} as const satisfies Record<string, { id: number; from: 'client' | 'gateway' | 'both'; fields: Fields }>

export type FrameType = keyof typeof frames

type ValueOf<T> = T extends 'bool'
  ? boolean
  : T extends 'string'
    ? string
    : T extends 'strings'
      ? readonly string[]
      : T extends 'bytes'
        ? Uint8Array
        : T extends 'u8s'
          ? readonly number[]
          : T extends { readonly enum: readonly (infer Name)[] }
            ? Name
            : T extends { readonly list: infer Of }
              ? readonly { readonly [Key in keyof Of]: ValueOf<Of[Key]> }[]
              : T extends { readonly type: infer Inner; readonly default: unknown }
                ? ValueOf<Inner>
                : number

/** One frame of the given type, decoded: `{ type, …fields }`, every field present. */
export type FrameOf<Type extends FrameType> = Type extends FrameType
  ? { readonly type: Type } & {
      readonly [Key in keyof (typeof frames)[Type]['fields']]: ValueOf<(typeof frames)[Type]['fields'][Key]>
    }
  : never
/** Any frame, discriminated by `type`. */
export type Frame = FrameOf<FrameType>
type TypesFrom<Side> = { [Type in FrameType]: (typeof frames)[Type]['from'] extends Side ? Type : never }[FrameType]
/** Frames that a client may send. */
export type ClientFrame = FrameOf<TypesFrom<'client' | 'both'>>
/** Frames that a gateway may send. */
export type GatewayFrame = FrameOf<TypesFrom<'gateway' | 'both'>>
