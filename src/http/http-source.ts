/** What the HTTP interface shows of a broker. */

export interface HttpSource {
  /** Null when clients can be served; otherwise why not, in words (`recovering`, `the object store does not answer: …`). */
  notReady(): string | null | Promise<string | null>
  topics(): readonly TopicSummary[]
  /** Null for a topic that does not exist. */
  topic(name: string): TopicDetail | null | Promise<TopicDetail | null>
}

export interface TopicSummary {
  readonly name: string
  readonly id: string
  readonly internal: boolean
  readonly partitions: number
}

export interface TopicDetail {
  readonly name: string
  readonly id: string
  readonly internal: boolean
  readonly partitions: readonly PartitionDetail[]
  readonly table: {
    /** Where a Delta reader finds it, as far as the broker can say: an absolute path or a URL. */
    readonly location: string
    /** The newest version known here; null before the first flush. */
    readonly version: number | null
  }
}

/** The offsets of `PartitionLog`. */
export interface PartitionDetail {
  readonly partition: number
  readonly leaderEpoch: number
  readonly logStartOffset: number
  readonly flushedOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logEndOffset: number
}
