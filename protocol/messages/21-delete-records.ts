/**
 * DeleteRecords (key 21): moves the start of partitions forward; offset -1 means up to the high watermark (KIP-107).
 * v2 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, string, struct } from '../schema/field.ts'

export const DeleteRecords = defineApi({
  key: 21,
  name: 'DeleteRecords',
  versions: [0, 2],
  flexible: 2,
  request: struct({
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        offset: int64,
      })),
    })),
    timeoutMs: int32,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        lowWatermark: int64,
        errorCode: int16.default(0),
      })),
    })),
  }),
})

export type DeleteRecordsRequest = RequestOf<typeof DeleteRecords>
export type DeleteRecordsResponse = ResponseOf<typeof DeleteRecords>
