// CreateTopics (19), v2–7.
// Kafka's validation and messages: names, collisions, partitions, replication factor (1 or -1: the object store replicates), manual
// assignments (to this broker), configs by name and type, duplicates in one request, validate_only. A topic is durable and usable when the
// answer is sent. v5+ answers with the configs, v7+ with the topic id. Not done: controller mutation quotas.
import { KafkaError } from '../../protocol/errors.ts'
import { CreateTopics } from '../../protocol/messages/19-create-topics.ts'
import type { CreateTopicsRequest, CreateTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import type { TopicRecord } from '../../storage/journal/entries.ts'
import { describeTopicConfigs } from '../cluster/describe-configs.ts'
import type { Handler, RequestContext } from './handler.ts'

type AskedTopic = CreateTopicsRequest['topics'][number]
type TopicResult = CreateTopicsResponse['topics'][number]

const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

export const createTopics: Handler<CreateTopicsRequest, CreateTopicsResponse> = {
  api: CreateTopics,
  versions: [2, 7],

  async handle(request, context) {
    const counts = new Map<string, number>()
    for (const { name } of request.topics) counts.set(name, (counts.get(name) ?? 0) + 1)
    const duplicates = [...counts].filter(([, count]) => count > 1).map(([name]) => name)
    const unique = request.topics.filter(({ name }) => counts.get(name) === 1)
    const topics = await Promise.all(unique.map((asked) => create(asked, request, context)))
    return {
      topics: [...topics, ...duplicates.map((name) => failed(name, KafkaError.INVALID_REQUEST, 'Duplicate topic name.'))],
    }
  },

  onError: (request, errorCode) => ({ topics: request.topics.map(({ name }) => failed(name, errorCode, 'The topic could not be created.')) }),
}

async function create(asked: AskedTopic, request: CreateTopicsRequest, context: RequestContext): Promise<TopicResult> {
  const assignments = new Map<number, readonly number[]>()
  for (const { partitionIndex, brokerIds } of asked.assignments) {
    if (assignments.has(partitionIndex)) {
      return failed(asked.name, KafkaError.INVALID_REPLICA_ASSIGNMENT, `Found multiple manual partition assignments for partition ${partitionIndex}`)
    }
    assignments.set(partitionIndex, brokerIds)
  }
  // Of a config that is given more than once the last one counts.
  const configs = new Map(asked.configs.map(({ name, value }) => [name, value]))
  const outcome = await context.broker.topics.create(
    { name: asked.name, partitions: asked.numPartitions, replicationFactor: asked.replicationFactor, configs, assignments },
    { validateOnly: request.validateOnly, timeoutMs: request.timeoutMs },
  )
  return outcome.kind === 'ok' ? created(outcome.topic, request.validateOnly, context) : failed(asked.name, outcome.code, outcome.message)
}

function created(topic: TopicRecord, validateOnly: boolean, context: RequestContext): TopicResult {
  return {
    name: topic.name,
    topicId: validateOnly ? ZERO_UUID : topic.id,
    errorMessage: null,
    numPartitions: topic.partitions,
    replicationFactor: 1,
    configs: describeTopicConfigs(topic, context.broker.config, context.broker.configOrigins).map(({ name, value, source, readOnly, sensitive }) => ({
      name,
      value,
      readOnly,
      configSource: source,
      isSensitive: sensitive,
    })),
  }
}

function failed(name: string, errorCode: number, errorMessage: string): TopicResult {
  return { name, topicId: ZERO_UUID, errorCode, errorMessage, configs: [] }
}
