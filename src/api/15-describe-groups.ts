/**
 * DescribeGroups (key 15, versions 0–6). A group that does not exist is `Dead` without an error up to v5, and GROUP_ID_NOT_FOUND from v6 on
 * (KIP-1043).
 */
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeGroups } from '../../protocol/messages/15-describe-groups.ts'
import type { DescribeGroupsRequest, DescribeGroupsResponse } from '../../protocol/messages/15-describe-groups.ts'
import { OPERATIONS_NOT_REQUESTED } from '../../protocol/messages/authorized-operations.ts'
import { unknownGroupMessage } from '../groups/coordinator.ts'
import type { Handler } from './handler.ts'

const NOT_FOUND_SINCE = 6
/** Without an authorizer everything that a group supports is allowed: read, delete, describe, describe configs, alter configs. */
const ALL_OPERATIONS = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11)

export const describeGroups: Handler<DescribeGroupsRequest, DescribeGroupsResponse> = {
  api: DescribeGroups,
  versions: [0, 6],

  async handle(request, { broker, apiVersion }) {
    const groups = await Promise.all(
      request.groups.map(async (groupId) => {
        const group = await broker.groups.describe(groupId)
        const notFound = group.errorCode === KafkaError.GROUP_ID_NOT_FOUND
        const errorCode = notFound && apiVersion < NOT_FOUND_SINCE ? KafkaError.NONE : group.errorCode
        const authorized = request.includeAuthorizedOperations && errorCode === KafkaError.NONE
        return {
          errorCode,
          errorMessage: notFound ? unknownGroupMessage(groupId) : null,
          groupId,
          groupState: group.state,
          protocolType: group.protocolType,
          protocolData: group.protocol,
          members: group.members.map(({ memberId, instanceId, clientId, clientHost, metadata, assignment }) => ({
            memberId,
            groupInstanceId: instanceId,
            clientId,
            clientHost,
            memberMetadata: metadata,
            memberAssignment: assignment,
          })),
          authorizedOperations: authorized ? ALL_OPERATIONS : OPERATIONS_NOT_REQUESTED,
        }
      }),
    )
    return { groups }
  },

  onError(request, errorCode) {
    const nothing = { groupState: '', protocolType: '', protocolData: '', members: [] }
    return { groups: request.groups.map((groupId) => ({ groupId, errorCode, ...nothing })) }
  },
}
