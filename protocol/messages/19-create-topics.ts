/**
 * CreateTopics (key 19): creates topics.
 * v4 takes -1 for the broker's defaults of partitions and replication (KIP-464), v5 is flexible and answers with the
 * configs (KIP-525), v7 with the topic id.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableArray, nullableString, string, struct, uuid } from '../schema/field.ts'

export const CreateTopics = defineApi({
  key: 19,
  name: 'CreateTopics',
  versions: [2, 7],
  flexible: 5,
  request: struct({
    topics: array(struct({
      name: string,
      numPartitions: int32,
      replicationFactor: int16,
      assignments: array(struct({
        partitionIndex: int32,
        brokerIds: array(int32),
      })),
      configs: array(struct({
        name: string,
        value: nullableString,
      })),
    })),
    timeoutMs: int32.default(60000),
    validateOnly: boolean.default(false),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    topics: array(struct({
      name: string,
      topicId: uuid.since(7),
      errorCode: int16.default(0),
      errorMessage: nullableString,
      topicConfigErrorCode: int16.tagged(0, 5),
      numPartitions: int32.since(5).default(-1),
      replicationFactor: int16.since(5).default(-1),
      configs: nullableArray(struct({
        name: string,
        value: nullableString,
        readOnly: boolean,
        configSource: int8.default(-1),
        isSensitive: boolean,
      })).since(5),
    })),
  }),
})

export type CreateTopicsRequest = RequestOf<typeof CreateTopics>
export type CreateTopicsResponse = ResponseOf<typeof CreateTopics>
