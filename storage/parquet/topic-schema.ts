/**
 * The columns of a topic's table (DESIGN §5; names as in Spark's Kafka source), and how a record becomes a row. Everything is
 * nullable: outsiders append rows without offsets, and some writers refuse such rows when a column is declared NOT NULL.
 *
 * - `offset` INT64.
 * - `timestamp` INT64 microseconds UTC. A record without a timestamp (-1) is NULL. Kafka counts milliseconds in 64 bits; appends take those
 *   within `timestampMsMax` (../limits.ts). What a compressed batch hides behind a wrong header still fits up to ±2^53 milliseconds; a batch
 *   with a record beyond that is unreadable here.
 * - `timestampType` INT32: 0 create time, 1 log append time.
 * - `key`, `value` BINARY; NULL and empty are different.
 * - `headers` LIST<element STRUCT<key STRING, value BINARY>>; a record without headers is NULL (Kafka does not tell "none" from
 *   "empty"; Spark's source writes NULL as well), and an empty list reads as no headers. Order and duplicates are kept. Keys: see
 *   `header-keys.ts`.
 *
 * `partition` is the partition column: its value is in the Delta log and in the path, not in the file.
 */
/** Index of `offset` among the leaf columns of a file that we write. */
export const offsetLeaf = 0

export type TopicColumn = 'offset' | 'timestamp' | 'timestampType' | 'key' | 'value' | 'headers'
export const topicColumns: ReadonlySet<TopicColumn> =
  new Set<TopicColumn>(['offset', 'timestamp', 'timestampType', 'key', 'value', 'headers'])
