/**
 * Every error and close code, in one table shared by gateway and client.
 *
 * A code goes out in an `error` frame (the connection goes on) or in a `close` frame and as the WebSocket close code
 * (the connection ends). Its number alone says what the other side should do, so a client that meets a code newer than
 * itself still acts correctly; 4000–4999 is the range that RFC 6455, section 7.4.2 leaves to applications.
 */

/** What a code advises: try again, try again at another gateway, or do not try again unchanged. */
export type Advice = 'reconnect' | 'reconnect-elsewhere' | 'do-not-reconnect'

export const codes = {
  // 4000–4099: reconnect (a close) or try again (an error).
  internal: { code: 4000, message: 'the gateway failed; try again' },
  unavailable: { code: 4001, message: 'Redis or NATS cannot be reached; try again with the same messageId' },
  idle_timeout: { code: 4002, message: 'nothing was received within the idle time-out; send a ping in time' },
  login_timeout: { code: 4003, message: 'no login was completed within the login time limit' },
  frame_timeout: { code: 4004, message: 'a frame was begun and not finished in time' },
  slow_consumer: { code: 4005, message: 'the client did not read what was sent to it for too long' },
  storage_full: { code: 4006, message: 'Redis is full, until its operator acts; try again with the same messageId' },
  storage_read_only: {
    code: 4007,
    message: 'Redis refuses writes, until its operator acts; try again with the same messageId',
  },

  // 4100–4199: reconnect to another gateway.
  going_away: { code: 4100, message: 'the gateway is shutting down' },
  broker_replaced: { code: 4101, message: 'another process took over the identity of this gateway' },
  too_many_connections: { code: 4102, message: 'the gateway holds as many connections as it may' },
  overloaded: { code: 4103, message: 'the gateway has no memory left for more; connect to another' },
  cut_off: { code: 4104, message: 'the gateway is cut off from Redis or NATS; connect to another' },

  // 4200–4229: the connection ends; do not reconnect without changing something.
  frame_malformed: { code: 4200, message: 'a frame does not follow the protocol' },
  frame_too_large: { code: 4201, message: 'a frame is longer than the maximum' },
  frame_type_unknown: { code: 4202, message: 'a frame has an unknown type' },
  frame_unexpected: { code: 4203, message: 'only a gateway sends a frame of this type' },
  version_unsupported: { code: 4204, message: 'the protocol version is not supported' },
  json_malformed: { code: 4205, message: 'a text message is not one JSON object' },
  utf8_malformed: { code: 4206, message: 'a string is not valid UTF-8' },
  login_required: { code: 4207, message: 'the first frame must be a login' },
  login_repeated: { code: 4208, message: 'the connection is logged in already' },
  token_invalid: { code: 4209, message: 'the token is not valid' },
  token_expired: { code: 4210, message: 'the token has expired; connect with a new one, or renew it in time' },
  app_forbidden: { code: 4211, message: 'the app of the token is not served here' },
  user_id_invalid: { code: 4212, message: 'a user id must have 1 to 128 bytes' },
  device_invalid: { code: 4213, message: 'clientType must be 0 to 5, imei 1 to 128 bytes, version at most 64 bytes' },
  replaced: { code: 4214, message: 'the same device logged in over a newer connection' },
  displaced: { code: 4215, message: 'another device of the user logged in and the device policy allows no more' },
  logged_out: { code: 4216, message: 'the device logged out' },

  // 4230–4299: a request is refused, the connection goes on; do not repeat the request unchanged.
  recipient_invalid: { code: 4230, message: 'the recipient must be a user id of 1 to 128 bytes' },
  recipient_self: { code: 4231, message: 'a message cannot be sent to its own sender' },
  message_id_invalid: { code: 4232, message: 'a durable message needs a messageId of 1 to 64 bytes' },
  payload_too_large: { code: 4233, message: 'the payload is larger than the maximum' },
  presence_too_large: { code: 4234, message: 'a presence request names 1 to 100 users' },
  storage_foreign: { code: 4235, message: 'foreign data in Redis is in the way; trying again does not help' },
} as const satisfies Record<string, { code: number; message: string }>

/** The stable name of a code, as logs, metrics and errors show it. */
export type CodeName = keyof typeof codes

function isCodeName(name: string): name is CodeName {
  return Object.hasOwn(codes, name)
}

/** Every name, in the order of the numbers. */
export const codeNames: readonly CodeName[] = Object.keys(codes).filter(isCodeName)

const names = new Map<number, CodeName>(codeNames.map((name) => [codes[name].code, name]))

/** The name of a code, or undefined when this version does not know it. */
export function codeName(code: number): CodeName | undefined {
  return names.get(code)
}

/** What a WebSocket implementation itself closes with when it cannot take what was sent (RFC 6455, section 7.4.1). */
const refusals: ReadonlySet<number> = new Set([1002, 1003, 1007, 1009, 1010])

/**
 * What to do about a code, known or not: decided by its range alone. Outside 4000–4999 the advice is to reconnect, except
 * for the WebSocket codes that say the same message would be refused again.
 */
export function adviceOf(code: number): Advice {
  if ((code >= 4200 && code <= 4999) || refusals.has(code)) return 'do-not-reconnect'
  if (code >= 4100 && code <= 4199) return 'reconnect-elsewhere'
  return 'reconnect'
}
