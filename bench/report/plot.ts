/** A picture of a work's figures, in a file `<work>-<name>.svg`. */
export interface Plot {
  /** Of bars there is one for each row, the columns on top of each other. Lines join rows that are named `<peer> × <number>`. */
  readonly kind: 'bars' | 'lines'
  readonly name: string
  readonly title: string
  readonly columns: readonly string[]
  /** Rows that are left out. */
  readonly except?: readonly string[]
}
