/**
 * DescribeQuorum (key 55): the replication state of the metadata log (KIP-595).
 * All versions are flexible. v1 adds fetch times (KIP-836), v2 directory ids, listeners and error messages (KIP-853).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, nullableString, string, struct, uint16, uuid } from '../schema/field.ts'

export const DescribeQuorum = defineApi({
  key: 55,
  name: 'DescribeQuorum',
  versions: [0, 2],
  flexible: 0,
  request: struct({
    topics: array(struct({
      topicName: string,
      partitions: array(struct({
        partitionIndex: int32,
      })),
    })),
  }),
  response: struct({
    errorCode: int16.default(0),
    errorMessage: nullableString.since(2),
    topics: array(struct({
      topicName: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
        errorMessage: nullableString.since(2),
        leaderId: int32,
        leaderEpoch: int32,
        highWatermark: int64,
        currentVoters: array(struct({
          replicaId: int32,
          replicaDirectoryId: uuid.since(2),
          logEndOffset: int64,
          lastFetchTimestamp: int64.since(1).default(-1),
          lastCaughtUpTimestamp: int64.since(1).default(-1),
        })),
        observers: array(struct({
          replicaId: int32,
          replicaDirectoryId: uuid.since(2),
          logEndOffset: int64,
          lastFetchTimestamp: int64.since(1).default(-1),
          lastCaughtUpTimestamp: int64.since(1).default(-1),
        })),
      })),
    })),
    nodes: array(struct({
      nodeId: int32,
      listeners: array(struct({
        name: string,
        host: string,
        port: uint16,
      })),
    })).since(2),
  }),
})

export type DescribeQuorumRequest = RequestOf<typeof DescribeQuorum>
export type DescribeQuorumResponse = ResponseOf<typeof DescribeQuorum>
