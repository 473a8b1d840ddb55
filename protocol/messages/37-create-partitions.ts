/**
 * CreatePartitions (key 37): adds partitions to topics (KIP-195).
 * v2 is flexible, v3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, nullableArray, nullableString, string, struct } from '../schema/field.ts'

export const CreatePartitions = defineApi({
  key: 37,
  name: 'CreatePartitions',
  versions: [0, 3],
  flexible: 2,
  request: struct({
    topics: array(struct({
      name: string,
      count: int32,
      assignments: nullableArray(struct({
        brokerIds: array(int32),
      })),
    })),
    timeoutMs: int32,
    validateOnly: boolean,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    results: array(struct({
      name: string,
      errorCode: int16.default(0),
      errorMessage: nullableString.default(null),
    })),
  }),
})

export type CreatePartitionsRequest = RequestOf<typeof CreatePartitions>
export type CreatePartitionsResponse = ResponseOf<typeof CreatePartitions>
