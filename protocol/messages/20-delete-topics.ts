/**
 * DeleteTopics (key 20): deletes topics.
 * Up to v5 a request gives names, from v6 on names or ids (KIP-516). v4 is flexible, v5 adds error messages.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, nullableString, string, struct, uuid } from '../schema/field.ts'

export const DeleteTopics = defineApi({
  key: 20,
  name: 'DeleteTopics',
  versions: [1, 6],
  flexible: 4,
  request: struct({
    topics: array(struct({
      name: nullableString.default(null),
      topicId: uuid,
    })).since(6),
    topicNames: array(string).until(5),
    timeoutMs: int32,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    responses: array(struct({
      name: string.nullableSince(6),
      topicId: uuid.since(6),
      errorCode: int16.default(0),
      errorMessage: nullableString.since(5).default(null),
    })),
  }),
})

export type DeleteTopicsRequest = RequestOf<typeof DeleteTopics>
export type DeleteTopicsResponse = ResponseOf<typeof DeleteTopics>
