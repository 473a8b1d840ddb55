// OffsetDelete (47), v0 (KIP-496).
// Forgets committed offsets of a group; what was never committed is no error. A partition of a topic that a live consumer group subscribes
// to gets GROUP_SUBSCRIBED_TO_TOPIC, a live group of another protocol NON_EMPTY_GROUP as a whole. Answered when the deletion is durable.
import { OffsetDelete } from '../../protocol/messages/47-offset-delete.ts'
import type { OffsetDeleteRequest, OffsetDeleteResponse } from '../../protocol/messages/47-offset-delete.ts'
import type { Handler } from './handler.ts'

export const offsetDelete: Handler<OffsetDeleteRequest, OffsetDeleteResponse> = {
  api: OffsetDelete,
  versions: [0, 0],

  async handle(request, { broker }) {
    const topics = request.topics.map(({ name, partitions }) => ({ name, partitionIndexes: partitions.map(({ partitionIndex }) => partitionIndex) }))
    const { errorCode, topics: results } = await broker.groups.deleteOffsets(request.groupId, topics)
    return { errorCode, topics: results }
  },

  onError: (_request, errorCode) => ({ errorCode, topics: [] }),
}
