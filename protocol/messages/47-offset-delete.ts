/**
 * OffsetDelete (key 47): forgets committed offsets of partitions (KIP-496). It never became flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, string, struct } from '../schema/field.ts'

export const OffsetDelete = defineApi({
  key: 47,
  name: 'OffsetDelete',
  versions: [0, 0],
  flexible: Infinity,
  request: struct({
    groupId: string,
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
      })),
    })),
  }),
  response: struct({
    errorCode: int16.default(0),
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      name: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
      })),
    })),
  }),
})

export type OffsetDeleteRequest = RequestOf<typeof OffsetDelete>
export type OffsetDeleteResponse = ResponseOf<typeof OffsetDelete>
