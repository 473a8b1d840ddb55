/**
 * ElectLeaders (key 43): elects the preferred or any replica as leader of partitions (KIP-183).
 * v1 adds the election type (KIP-460), v2 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int8, nullableArray, nullableString, string, struct } from '../schema/field.ts'

export const ElectLeaders = defineApi({
  key: 43,
  name: 'ElectLeaders',
  versions: [0, 2],
  flexible: 2,
  request: struct({
    electionType: int8.since(1),
    topicPartitions: nullableArray(struct({
      topic: string,
      partitions: array(int32),
    })),
    timeoutMs: int32.default(60000),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.since(1),
    replicaElectionResults: array(struct({
      topic: string,
      partitionResult: array(struct({
        partitionId: int32,
        errorCode: int16.default(0),
        errorMessage: nullableString,
      })),
    })),
  }),
})

export type ElectLeadersRequest = RequestOf<typeof ElectLeaders>
export type ElectLeadersResponse = ResponseOf<typeof ElectLeaders>
