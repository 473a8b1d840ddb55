/**
 * The features of KIP-584 that this release has, and their levels. ApiVersions tells them to clients, some of which act on them: one that
 * is not implemented must not be listed (transaction.version from 2 on makes producers rely on KIP-890, group.version 1 stands for KIP-848).
 */
export interface Feature {
  readonly name: string
  /** Levels that could be asked for. */
  readonly min: number
  readonly max: number
  /** The level in force. There is no file format to keep for older brokers, so it is the newest one. */
  readonly finalized: number
}

export const features: readonly Feature[] = [
  /** Levels of Kafka's MetadataVersion: 3.3-IV3, the first with KRaft, and 4.3-IV0, whose protocol this is. */
  { name: 'metadata.version', min: 7, max: 30, finalized: 30 },
  /** 1 is a format of records, 2 the transactions of KIP-890: a new epoch with every end, and partitions that become part by being written to. */
  { name: 'transaction.version', min: 0, max: 2, finalized: 2 },
]
