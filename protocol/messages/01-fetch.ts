/**
 * Fetch (key 1): reads record batches from partitions, waiting for them where asked.
 * v5 adds the log start offset, v7 fetch sessions (KIP-227), v9 leader epochs (KIP-320), v10 zstd, v11 the rack for
 * follower fetching (KIP-392), v12 is flexible and tells of diverging epochs (KIP-595), v13 names topics by id
 * (KIP-516), v15 moves the replica into a tagged field (KIP-903), v16 names the endpoints of new leaders (KIP-951), v17
 * and v18 serve followers only.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import {
  array, int16, int32, int64, int8, LONG_MAX, nullableArray, nullableString, records, string, struct, uuid,
} from '../schema/field.ts'

export const Fetch = defineApi({
  key: 1,
  name: 'Fetch',
  versions: [4, 18],
  flexible: 12,
  request: struct({
    clusterId: nullableString.tagged(0, 12).default(null),
    replicaId: int32.until(14).default(-1),
    replicaState: struct({
      replicaId: int32.default(-1),
      replicaEpoch: int64.default(-1),
    }).tagged(1, 15),
    maxWaitMs: int32,
    minBytes: int32,
    maxBytes: int32.default(0x7fff_ffff),
    isolationLevel: int8.default(0),
    sessionId: int32.since(7).default(0),
    sessionEpoch: int32.since(7).default(-1),
    topics: array(struct({
      topic: string.until(12),
      topicId: uuid.since(13),
      partitions: array(struct({
        partition: int32,
        currentLeaderEpoch: int32.since(9).default(-1),
        fetchOffset: int64,
        lastFetchedEpoch: int32.since(12).default(-1),
        logStartOffset: int64.since(5).default(-1),
        partitionMaxBytes: int32,
        replicaDirectoryId: uuid.tagged(0, 17),
        highWatermark: int64.tagged(1, 18).default(LONG_MAX),
      })),
    })),
    forgottenTopicsData: array(struct({
      topic: string.until(12),
      topicId: uuid.since(13),
      partitions: array(int32),
    })).since(7),
    rackId: string.since(11).default(''),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.since(7).default(0),
    sessionId: int32.since(7).default(0),
    responses: array(struct({
      topic: string.until(12),
      topicId: uuid.since(13),
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
        highWatermark: int64,
        lastStableOffset: int64.default(-1),
        logStartOffset: int64.since(5).default(-1),
        divergingEpoch: struct({
          epoch: int32.default(-1),
          endOffset: int64.default(-1),
        }).tagged(0, 12),
        currentLeader: struct({
          leaderId: int32.default(-1),
          leaderEpoch: int32.default(-1),
        }).tagged(1, 12),
        snapshotId: struct({
          endOffset: int64.default(-1),
          epoch: int32.default(-1),
        }).tagged(2, 12),
        abortedTransactions: nullableArray(struct({
          producerId: int64,
          firstOffset: int64,
        })),
        preferredReadReplica: int32.since(11).default(-1),
        records: records,
      })),
    })),
    nodeEndpoints: array(struct({
      nodeId: int32,
      host: string,
      port: int32,
      rack: nullableString.default(null),
    })).tagged(0, 16),
  }),
})

export type FetchRequest = RequestOf<typeof Fetch>
export type FetchResponse = ResponseOf<typeof Fetch>
