/** Heartbeat (key 12, versions 0–4): keeps the session of a member alive, and tells it of a rebalance. */
import { Heartbeat } from '../../protocol/messages/12-heartbeat.ts'
import type { HeartbeatRequest, HeartbeatResponse } from '../../protocol/messages/12-heartbeat.ts'
import type { Handler } from './handler.ts'

export const heartbeat: Handler<HeartbeatRequest, HeartbeatResponse> = {
  api: Heartbeat,
  versions: [0, 4],

  async handle({ groupId, memberId, groupInstanceId, generationId }, { broker }) {
    return { errorCode: await broker.groups.heartbeat(groupId, memberId, groupInstanceId, generationId) }
  },

  onError(_request, errorCode) {
    return { errorCode }
  },
}
