/**
 * DescribeProducers (key 61): the producers that a partition remembers (KIP-664).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, nullableString, string, struct } from '../schema/field.ts'

export const DescribeProducers = defineApi({
  key: 61,
  name: 'DescribeProducers',
  versions: [0, 0],
  flexible: 0,
  request: struct({
    topics: array(struct({
      name: string,
      partitionIndexes: array(int32),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
        errorMessage: nullableString.default(null),
        activeProducers: array(struct({
          producerId: int64,
          producerEpoch: int32,
          lastSequence: int32.default(-1),
          lastTimestamp: int64.default(-1),
          coordinatorEpoch: int32,
          currentTxnStartOffset: int64.default(-1),
        })),
      })),
    })),
  }),
})

export type DescribeProducersRequest = RequestOf<typeof DescribeProducers>
export type DescribeProducersResponse = ResponseOf<typeof DescribeProducers>
