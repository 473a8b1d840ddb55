/**
 * SyncGroup (key 14, versions 0–5): the leader hands in the assignment, everybody gets their part of it once it is durable.
 * From v5 on the request must name the protocol (KIP-559).
 */
import { KafkaError } from '../../protocol/errors.ts'
import { SyncGroup } from '../../protocol/messages/14-sync-group.ts'
import type { SyncGroupRequest, SyncGroupResponse } from '../../protocol/messages/14-sync-group.ts'
import { failedSync } from '../groups/group.ts'
import type { SyncReply } from '../groups/types.ts'
import type { Handler } from './handler.ts'

const PROTOCOL_REQUIRED_SINCE = 5

export const syncGroup: Handler<SyncGroupRequest, SyncGroupResponse> = {
  api: SyncGroup,
  versions: [0, 5],

  async handle(request, { broker, apiVersion }) {
    const { protocolType, protocolName } = request
    if (apiVersion >= PROTOCOL_REQUIRED_SINCE && (protocolType === null || protocolName === null)) {
      return responseOf(failedSync(KafkaError.INCONSISTENT_GROUP_PROTOCOL))
    }
    const reply = await broker.groups.sync({
      groupId: request.groupId,
      memberId: request.memberId,
      instanceId: request.groupInstanceId,
      generation: request.generationId,
      protocolType,
      protocol: protocolName,
      assignments: new Map(request.assignments.map(({ memberId, assignment }) => [memberId, assignment])),
    })
    return responseOf(reply)
  },

  onError(_request, errorCode) {
    return responseOf(failedSync(errorCode))
  },
}

function responseOf({ errorCode, protocolType, protocol, assignment }: SyncReply): SyncGroupResponse {
  return { errorCode, protocolType, protocolName: protocol, assignment }
}
