// DeleteTopics (20), v1–6.
// By name (v1–5) or by name or id (v6); a topic that is given twice is not deleted at all. The topic is gone for everybody when the answer
// is sent; its objects are removed from the store afterwards, and its location is never used again, so a late writer cannot harm a topic
// that is created anew under the name.
import { KafkaError } from '../../protocol/errors.ts'
import { DeleteTopics } from '../../protocol/messages/20-delete-topics.ts'
import type { DeleteTopicsRequest, DeleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import type { Handler, RequestContext } from './handler.ts'

type TopicResult = DeleteTopicsResponse['responses'][number]
interface Asked {
  readonly name: string | null
  readonly topicId: string
}

const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'
const IDS_SINCE = 6

export const deleteTopics: Handler<DeleteTopicsRequest, DeleteTopicsResponse> = {
  api: DeleteTopics,
  versions: [1, 6],

  async handle(request, context) {
    const asked = askedTopics(request, context)
    const counts = new Map<string, number>()
    for (const topic of asked) counts.set(keyOf(topic), (counts.get(keyOf(topic)) ?? 0) + 1)
    const unique = new Map(asked.map((topic) => [keyOf(topic), topic]))
    const responses = await Promise.all(
      [...unique].map(async ([key, topic]) => {
        if (counts.get(key)! > 1) return failed(topic, KafkaError.INVALID_REQUEST, `Duplicate topic ${topic.name === null ? 'id' : 'name'}.`)
        const other = otherKeyOf(topic, context)
        if (other !== null && counts.has(other)) {
          return failed(topic, KafkaError.INVALID_REQUEST, 'The provided topic name maps to an ID that was already supplied.')
        }
        return await remove(topic, request.timeoutMs, context)
      }),
    )
    return { responses }
  },

  onError: (request, errorCode, context) => ({
    responses: askedTopics(request, context).map((topic) => failed(topic, errorCode, 'The topic could not be deleted.')),
  }),
}

function askedTopics(request: DeleteTopicsRequest, { apiVersion }: RequestContext): readonly Asked[] {
  return apiVersion >= IDS_SINCE ? request.topics : request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }))
}

function keyOf({ name, topicId }: Asked): string {
  return name === null ? `id ${topicId}` : `name ${name}`
}

/** The other way to ask for the same topic; null where there is no such topic. */
function otherKeyOf({ name, topicId }: Asked, { broker }: RequestContext): string | null {
  const topic = name === null ? broker.topics.byId(topicId) : broker.topics.byName(name)
  if (topic === null) return null
  return name === null ? `name ${topic.name}` : `id ${topic.id}`
}

async function remove(asked: Asked, timeoutMs: number, context: RequestContext): Promise<TopicResult> {
  const { topics, config } = context.broker
  if (asked.name !== null && asked.topicId !== ZERO_UUID) {
    return failed(asked, KafkaError.INVALID_REQUEST, 'You may not specify both topic name and topic id.')
  }
  if (asked.name === null && asked.topicId === ZERO_UUID) return failed(asked, KafkaError.INVALID_REQUEST, 'Neither topic name nor id were specified.')
  if (!config['delete.topic.enable']) {
    return failed(asked, context.apiVersion < 3 ? KafkaError.INVALID_REQUEST : KafkaError.TOPIC_DELETION_DISABLED, 'delete.topic.enable is false.')
  }
  const topic = asked.name === null ? topics.byId(asked.topicId) : topics.byName(asked.name)
  if (topic === null) {
    return asked.name === null
      ? failed(asked, KafkaError.UNKNOWN_TOPIC_ID, 'This server does not host this topic ID.')
      : failed(asked, KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.')
  }
  const outcome = await topics.delete(topic.id, { timeoutMs })
  if (outcome.kind === 'error') return failed(asked, outcome.code, outcome.message)
  return { name: topic.name, topicId: topic.id }
}

function failed(asked: Asked, errorCode: number, errorMessage: string): TopicResult {
  return { name: asked.name, topicId: asked.topicId, errorCode, errorMessage }
}
