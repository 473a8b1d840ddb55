/**
 * WriteTxnMarkers (key 27): writes the ends of transactions to partitions. Coordinators ask the leaders of partitions
 * for it, and administrators to abort a transaction that hangs (KIP-664).
 * All versions are flexible; v0 is gone since Kafka 4.0. v2 says by which rules of transactions a marker is written
 * (KIP-1228).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int64, int8, string, struct } from '../schema/field.ts'

export const WriteTxnMarkers = defineApi({
  key: 27,
  name: 'WriteTxnMarkers',
  versions: [1, 2],
  flexible: 1,
  request: struct({
    markers: array(struct({
      producerId: int64,
      producerEpoch: int16,
      transactionResult: boolean,
      topics: array(struct({
        name: string,
        partitionIndexes: array(int32),
      })),
      coordinatorEpoch: int32,
      transactionVersion: int8.since(2).default(0),
    })),
  }),
  response: struct({
    markers: array(struct({
      producerId: int64,
      topics: array(struct({
        name: string,
        partitions: array(struct({
          partitionIndex: int32,
          errorCode: int16.default(0),
        })),
      })),
    })),
  }),
})

export type WriteTxnMarkersRequest = RequestOf<typeof WriteTxnMarkers>
export type WriteTxnMarkersResponse = ResponseOf<typeof WriteTxnMarkers>
