/**
 * OffsetCommit (key 8, versions 2–10): answers when the offsets are durable. Offsets of topics that do not exist are refused one by one.
 * The retention time of v2–v4 is honoured (Kafka does, too); v10 names topics by id (KIP-516).
 */
import { OffsetCommit } from '../../protocol/messages/08-offset-commit.ts'
import type { OffsetCommitRequest, OffsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import type { Handler } from './handler.ts'

/** From this version on, clients know GROUP_ID_NOT_FOUND (KIP-848). */
const NAMES_UNKNOWN_GROUP_SINCE = 9

export const offsetCommit: Handler<OffsetCommitRequest, OffsetCommitResponse> = {
  api: OffsetCommit,
  versions: [2, 10],

  async handle(request, { broker, apiVersion }) {
    const topics = await broker.groups.commit({
      groupId: request.groupId,
      memberId: request.memberId,
      instanceId: request.groupInstanceId,
      generation: request.generationIdOrMemberEpoch,
      namesUnknownGroup: apiVersion >= NAMES_UNKNOWN_GROUP_SINCE,
      retentionMs: request.retentionTimeMs,
      topics: request.topics,
    })
    return { topics }
  },

  onError(request, errorCode) {
    const topics = request.topics.map(({ name, topicId, partitions }) => ({
      name,
      topicId,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
    }))
    return { topics }
  },
}
