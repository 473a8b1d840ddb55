/**
 * LeaveGroup (key 13, versions 0–5): a member leaves, or, from v3 on, an administrator removes members, static ones by their instance id
 * (KIP-345), with a reason from v5 on (KIP-800).
 */
import { KafkaError } from '../../protocol/errors.ts'
import { LeaveGroup } from '../../protocol/messages/13-leave-group.ts'
import type { LeaveGroupRequest, LeaveGroupResponse } from '../../protocol/messages/13-leave-group.ts'
import type { Handler } from './handler.ts'

const MANY_MEMBERS_SINCE = 3

export const leaveGroup: Handler<LeaveGroupRequest, LeaveGroupResponse> = {
  api: LeaveGroup,
  versions: [0, 5],

  async handle(request, { broker, apiVersion }) {
    if (apiVersion < MANY_MEMBERS_SINCE) {
      const member = { memberId: request.memberId, instanceId: null, reason: null }
      const { errorCode, errorCodes } = await broker.groups.leave(request.groupId, [member])
      return { errorCode: errorCode === KafkaError.NONE ? (errorCodes[0] ?? KafkaError.NONE) : errorCode }
    }
    const members = request.members.map(({ memberId, groupInstanceId, reason }) => ({ memberId, instanceId: groupInstanceId, reason }))
    const { errorCode, errorCodes } = await broker.groups.leave(request.groupId, members)
    return {
      errorCode,
      members: errorCodes.map((code, i) => ({
        memberId: members[i]?.memberId ?? '',
        groupInstanceId: members[i]?.instanceId ?? null,
        errorCode: code,
      })),
    }
  },

  onError(_request, errorCode) {
    return { errorCode, members: [] }
  },
}
