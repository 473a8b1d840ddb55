/**
 * ConsumerGroupHeartbeat (key 68, versions 0–1): everything that members of the consumer protocol say and learn (KIP-848). Server-side
 * assignors `uniform` and `range`; subscriptions by name and, in v1, by RE2 regular expression. Joining a classic group of consumers turns it
 * into a consumer group, and leaving as the last one turns it back, as `group.consumer.migration.policy` says.
 */
import { errorMessage } from '../../protocol/errors.ts'
import { ConsumerGroupHeartbeat } from '../../protocol/messages/68-consumer-group-heartbeat.ts'
import type { ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse } from '../../protocol/messages/68-consumer-group-heartbeat.ts'
import type { Handler } from './handler.ts'

export const consumerGroupHeartbeat: Handler<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse> = {
  api: ConsumerGroupHeartbeat,
  versions: [0, 1],

  async handle(request, { broker, apiVersion, clientId, clientHost }) {
    const { assignment, ...reply } = await broker.groups.consumerHeartbeat(
      {
        groupId: request.groupId,
        memberId: request.memberId,
        memberEpoch: request.memberEpoch,
        instanceId: request.instanceId,
        rackId: request.rackId,
        rebalanceTimeoutMs: request.rebalanceTimeoutMs,
        topicNames: request.subscribedTopicNames,
        topicRegex: request.subscribedTopicRegex,
        assignor: request.serverAssignor,
        owned: request.topicPartitions,
        clientId: clientId ?? '',
        clientHost,
      },
      apiVersion,
    )
    const topicPartitions = assignment && Array.from(assignment, ([topicId, partitions]) => ({ topicId, partitions }))
    return { ...reply, assignment: topicPartitions && { topicPartitions } }
  },

  onError(_request, errorCode) {
    return { errorCode, errorMessage: errorMessage(errorCode) }
  },
}
