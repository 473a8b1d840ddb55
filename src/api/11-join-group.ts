/**
 * JoinGroup (key 11, versions 0–9): joins a classic group and answers when the join phase of the rebalance is over.
 * v4 and later get MEMBER_ID_REQUIRED first (KIP-394), v9 tells a restarted static leader to skip the assignment (KIP-814).
 */
import { JoinGroup } from '../../protocol/messages/11-join-group.ts'
import type { JoinGroupRequest, JoinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import { failedJoin } from '../groups/group.ts'
import type { JoinReply } from '../groups/types.ts'
import type { Handler } from './handler.ts'

const REBALANCE_TIMEOUT_SINCE = 1
const MEMBER_ID_REQUIRED_SINCE = 4
const SKIP_ASSIGNMENT_SINCE = 9

export const joinGroup: Handler<JoinGroupRequest, JoinGroupResponse> = {
  api: JoinGroup,
  versions: [0, 9],

  async handle(request, { broker, apiVersion, clientId, clientHost }) {
    const reply = await broker.groups.join({
      groupId: request.groupId,
      memberId: request.memberId,
      instanceId: request.groupInstanceId,
      clientId: clientId ?? '',
      clientHost,
      sessionTimeoutMs: request.sessionTimeoutMs,
      rebalanceTimeoutMs: apiVersion >= REBALANCE_TIMEOUT_SINCE ? request.rebalanceTimeoutMs : request.sessionTimeoutMs,
      protocolType: request.protocolType,
      protocols: request.protocols,
      requiresKnownMemberId: apiVersion >= MEMBER_ID_REQUIRED_SINCE,
      supportsSkippingAssignment: apiVersion >= SKIP_ASSIGNMENT_SINCE,
      reason: request.reason,
    })
    return responseOf(reply)
  },

  onError(request, errorCode) {
    return responseOf(failedJoin(request.memberId, errorCode))
  },
}

function responseOf(reply: JoinReply): JoinGroupResponse {
  return {
    errorCode: reply.errorCode,
    generationId: reply.generation,
    protocolType: reply.protocolType,
    protocolName: reply.protocol,
    leader: reply.leader,
    skipAssignment: reply.skipAssignment,
    memberId: reply.memberId,
    members: reply.members.map(({ memberId, instanceId, metadata }) => ({ memberId, groupInstanceId: instanceId, metadata })),
  }
}
