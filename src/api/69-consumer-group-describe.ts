/** ConsumerGroupDescribe (key 69, versions 0–1): state, epochs and members of groups of the consumer protocol (KIP-848, KIP-1099). */
import { KafkaError } from '../../protocol/errors.ts'
import { ConsumerGroupDescribe } from '../../protocol/messages/69-consumer-group-describe.ts'
import type { ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse } from '../../protocol/messages/69-consumer-group-describe.ts'
import { OPERATIONS_NOT_REQUESTED } from '../../protocol/messages/authorized-operations.ts'
import { allOperations } from './authorized-operations.ts'
import type { Handler } from './handler.ts'

const CLASSIC_MEMBER = 0
const CONSUMER_MEMBER = 1

export const consumerGroupDescribe: Handler<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse> = {
  api: ConsumerGroupDescribe,
  versions: [0, 1],

  async handle({ groupIds, includeAuthorizedOperations }, { broker }) {
    const groups = await Promise.all(
      groupIds.map(async (groupId) => {
        const group = await broker.groups.describeConsumer(groupId)
        const authorized = includeAuthorizedOperations && group.errorCode === KafkaError.NONE
        return {
          errorCode: group.errorCode,
          errorMessage: group.errorMessage,
          groupId,
          groupState: group.state,
          groupEpoch: group.epoch,
          assignmentEpoch: group.assignmentEpoch,
          assignorName: group.assignor,
          members: group.members.map((member) => ({
            memberId: member.memberId,
            instanceId: member.instanceId,
            rackId: member.rackId,
            memberEpoch: member.epoch,
            clientId: member.clientId,
            clientHost: member.clientHost,
            subscribedTopicNames: member.topicNames,
            subscribedTopicRegex: member.topicRegex,
            assignment: { topicPartitions: member.assigned },
            targetAssignment: { topicPartitions: member.target },
            memberType: member.classic ? CLASSIC_MEMBER : CONSUMER_MEMBER,
          })),
          authorizedOperations: authorized ? allOperations.group : OPERATIONS_NOT_REQUESTED,
        }
      }),
    )
    return { groups }
  },

  onError({ groupIds }, errorCode) {
    const nothing = { groupState: '', groupEpoch: 0, assignmentEpoch: 0, assignorName: '', members: [] }
    return { groups: groupIds.map((groupId) => ({ groupId, errorCode, ...nothing })) }
  },
}
