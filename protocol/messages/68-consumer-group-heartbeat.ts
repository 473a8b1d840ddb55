/**
 * ConsumerGroupHeartbeat (key 68): the one call of the consumer group protocol (KIP-848) by which members join, leave, subscribe, report
 * what they own and learn what they are to own. Null means that nothing changed since the last heartbeat. v1 adds subscriptions by
 * regular expression, and members choose their ids (KIP-1082).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, nullableArray, nullableString, string, struct, uuid } from '../schema/field.ts'

const topicPartitions = struct({
  topicId: uuid,
  partitions: array(int32),
})

export const ConsumerGroupHeartbeat = defineApi({
  key: 68,
  name: 'ConsumerGroupHeartbeat',
  versions: [0, 1],
  flexible: 0,
  request: struct({
    groupId: string,
    memberId: string,
    memberEpoch: int32,
    instanceId: nullableString.default(null),
    rackId: nullableString.default(null),
    rebalanceTimeoutMs: int32.default(-1),
    subscribedTopicNames: nullableArray(string).default(null),
    subscribedTopicRegex: nullableString.since(1).nullableSince(1).default(null),
    serverAssignor: nullableString.default(null),
    topicPartitions: nullableArray(topicPartitions).default(null),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    errorMessage: nullableString.default(null),
    memberId: nullableString.default(null),
    memberEpoch: int32.default(0),
    heartbeatIntervalMs: int32.default(0),
    assignment: struct({
      topicPartitions: array(topicPartitions),
    }).nullableSince(0).default(null),
  }),
})

export type ConsumerGroupHeartbeatRequest = RequestOf<typeof ConsumerGroupHeartbeat>
export type ConsumerGroupHeartbeatResponse = ResponseOf<typeof ConsumerGroupHeartbeat>
