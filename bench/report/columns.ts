/** How a figure is shown. */
export interface Column {
  /** With the unit. */
  readonly title: string
  readonly decimals: number
}

export type Columns<Key extends string = string> = Readonly<Record<Key, Column>>
