/**
 * What inboxes are written as: as lists, to which one that is touched goes over; or as streams, which gateways of 0.2.0 read and
 * write, too. Either is read whatever this says.
 */
export interface InboxFormat {
  readonly writesLists: boolean
}

/** Where no gateway of 0.2.0 is. */
export const LISTS: InboxFormat = { writesLists: true }

/** As functions of Redis take it. */
export function formatFlag({ writesLists }: InboxFormat): 0 | 1 {
  return writesLists ? 1 : 0
}
