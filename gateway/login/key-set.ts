import { setTimeout as delay } from 'node:timers/promises'
import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose'
import { createFewATurn } from '../net/few-a-turn.ts'

/** How long a fetched key set is used. */
const CACHE_MS = 600_000
const TIMEOUT_MS = 5_000
/** Least time between two fetches for key ids that the set does not have, however many tokens name such. */
const INTERVAL_MS = 5_000
/** Tokens that go on in one turn of the event loop: thousands may have waited for the same fetch. */
const TOKENS_A_TURN = 16

/**
 * The keys of a JSON Web Key Set. For a key id that the set does not have it is fetched again, at once when that was not done
 * for some seconds; else the token waits until it may be, together with all others. So a key that is newer than the last
 * fetch is never refused, and invented key ids cost the server of the keys a bounded rate of requests.
 */
export function createKeySet(url: URL): JWTVerifyGetKey {
  // An endless cool-down: when to fetch for an unknown key id is decided here.
  const keys = createRemoteJWKSet(url, {
    cacheMaxAge: CACHE_MS,
    cooldownDuration: Infinity,
    timeoutDuration: TIMEOUT_MS,
  })
  let begunAt = -Infinity
  /** When the last fetch began that brought a set. */
  let asOf = -Infinity
  let fetching: Promise<void> | undefined
  const fetchInTurn = async (): Promise<void> => {
    const waitMs = begunAt + INTERVAL_MS - performance.now()
    if (waitMs > 0) await delay(waitMs, undefined, { ref: false })
    begunAt = performance.now()
    await keys.reload()
    asOf = begunAt
  }
  const findKey: JWTVerifyGetKey = async (header, token) => {
    const askedAt = performance.now()
    for (;;) {
      try {
        return await keys(header, token)
      } catch (error) {
        // A fetch that was under way before may have missed the key.
        if (!(error instanceof errors.JWKSNoMatchingKey) || asOf >= askedAt) throw error
      }
      fetching ??= fetchInTurn().finally(() => (fetching = undefined))
      await fetching
    }
  }
  const fewATurn = createFewATurn(TOKENS_A_TURN)
  return async (header, token) => {
    try {
      return await findKey(header, token)
    } finally {
      await new Promise<void>(fewATurn)
    }
  }
}
