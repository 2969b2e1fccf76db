import type { Fault } from './floor-options.ts'

type Deliver = (to: string, message: Uint8Array) => void

/** Every so many messages of a floor go wrong. */
const EVERY = 50

/** Makes a delivery go wrong now and then, so that a test sees that it is noticed. */
export function buildSpoiler(fault: Fault | undefined, deliver: Deliver): Deliver {
  if (fault === undefined) return deliver
  let count = 0
  let held: [to: string, message: Uint8Array] | undefined
  return (to, message) => {
    count += 1
    const spoil = count % EVERY === 0
    if (spoil && fault === 'lost') return
    if (spoil && fault === 'disordered' && held === undefined) {
      held = [to, message]
      return
    }
    deliver(to, message)
    if (spoil && fault === 'doubled') deliver(to, message)
    // After one that was sent later.
    if (held?.[0] !== to) return
    deliver(...held)
    held = undefined
  }
}
