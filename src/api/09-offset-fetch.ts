/**
 * OffsetFetch (key 9, versions 1–10): committed offsets of one group (up to v7) or of many (KIP-709). A group that does not exist has none,
 * which is no error; a partition without offset has -1. With `requireStable` (v7, KIP-447), partitions for which an open transaction has
 * offsets get UNSTABLE_OFFSET_COMMIT. v10 names topics by id (KIP-516). Member id and epoch (v9) matter to groups of the consumer protocol only.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { OffsetFetch } from '../../protocol/messages/09-offset-fetch.ts'
import type { OffsetFetchRequest, OffsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import type { Handler } from './handler.ts'

const MANY_GROUPS_SINCE = 8
/** Before this version an error of the group has no place but in every partition. */
const GROUP_ERROR_SINCE = 2

export const offsetFetch: Handler<OffsetFetchRequest, OffsetFetchResponse> = {
  api: OffsetFetch,
  versions: [1, 10],

  async handle(request, { broker, apiVersion }) {
    if (apiVersion >= MANY_GROUPS_SINCE) {
      const groups = await Promise.all(
        request.groups.map(async ({ groupId, topics, memberId, memberEpoch }) => ({
          groupId,
          ...(await broker.groups.fetch(groupId, topics, request.requireStable, { memberId, memberEpoch })),
        })),
      )
      return { groups }
    }
    const asked = request.topics?.map(({ name, partitionIndexes }) => ({ name, partitionIndexes, topicId: ZERO_UUID })) ?? null
    const { errorCode, topics } = await broker.groups.fetch(request.groupId, asked, request.requireStable)
    if (errorCode === KafkaError.NONE) return { topics }
    return apiVersion >= GROUP_ERROR_SINCE ? { errorCode } : failed(request, errorCode)
  },

  onError(request, errorCode, { apiVersion }) {
    if (apiVersion >= MANY_GROUPS_SINCE) return { groups: request.groups.map(({ groupId }) => ({ groupId, topics: [], errorCode })) }
    return apiVersion >= GROUP_ERROR_SINCE ? { errorCode } : failed(request, errorCode)
  },
}

function failed(request: OffsetFetchRequest, errorCode: number): OffsetFetchResponse {
  const topics = (request.topics ?? []).map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, committedOffset: -1, metadata: '', errorCode })),
  }))
  return { topics }
}
