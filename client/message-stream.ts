import type { Delivery } from './delivery.ts'
import type { Closed } from './events.ts'
import type { Message } from './message.ts'

/** Takes messages from a delivery one at a time, as `Client.messages` describes. `released` is called when it is left. */
export function streamMessages(
  delivery: Delivery,
  closed: Promise<Closed>,
  released: () => void,
): AsyncGenerator<Message, void, undefined> {
  let arrived = Promise.withResolvers<Message | Closed>()
  let answer: ((handled: boolean) => void) | undefined
  // At once, not at the first `next`: from here on listeners are refused.
  delivery.consume((message) => {
    arrived.resolve(message)
    return new Promise<boolean>((resolve) => {
      answer = resolve
    })
  })
  let end: Closed | undefined
  void closed.then((closed) => {
    end = closed
    arrived.resolve(closed)
  })

  async function* generate(): AsyncGenerator<Message, void, undefined> {
    let handled = false
    try {
      for (;;) {
        const item = await arrived.promise
        if ('by' in item) {
          if (item.by === 'gateway') throw item.error
          return
        }
        arrived = Promise.withResolvers()
        if (end) arrived.resolve(end)
        handled = false
        yield item
        handled = true
        answer?.(true)
      }
    } finally {
      delivery.consume(undefined)
      if (!handled) answer?.(false)
      released()
    }
  }
  return generate()
}
