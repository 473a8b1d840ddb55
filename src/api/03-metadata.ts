// Metadata (3), v0–13.
// One broker leads everything. Topics that are asked for by name are created where `auto.create.topics.enable` and the client (v4+) allow
// it; asking by id (v12+) never creates, and an id counts more than a name beside it. v0 means "all topics" by an empty list, v1+ by null.
// Authorised operations (KIP-430): without an authorizer everybody may do everything.
import { KafkaError } from '../../protocol/errors.ts'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import type { MetadataRequest, MetadataResponse } from '../../protocol/messages/03-metadata.ts'
import type { TopicRecord } from '../../storage/journal/entries.ts'
import { topicNameProblem } from '../cluster/topic-names.ts'
import { allOperations, topicOperations } from './authorized-operations.ts'
import type { Handler, RequestContext } from './handler.ts'

type AskedTopic = NonNullable<MetadataRequest['topics']>[number]
type TopicResult = MetadataResponse['topics'][number]

/** v10 and v11 have the field for an id, and may not use it. */
const IDS_SINCE = 12
const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

export const metadata: Handler<MetadataRequest, MetadataResponse> = {
  api: Metadata,
  versions: [0, 13],

  async handle(request, context) {
    const { broker, apiVersion } = context
    const everything = request.topics === null || (apiVersion === 0 && request.topics.length === 0)
    const topics = everything
      ? [...broker.topics.all()].map((topic) => describe(topic, request, context))
      : await Promise.all(unique(request.topics ?? []).map((asked) => resolve(asked, request, context)))
    return answer(topics, request, context)
  },

  onError: (request, errorCode, context) =>
    answer((request.topics ?? []).map(({ name, topicId }) => ({ errorCode, name, topicId, partitions: [] })), request, context),
}

/** One answer for a topic, however often it is asked for. */
function unique(topics: readonly AskedTopic[]): AskedTopic[] {
  return [...new Map(topics.map((topic) => [`${topic.topicId} ${topic.name}`, topic])).values()]
}

/** Who serves, which is this broker, and what about. */
function answer(topics: readonly TopicResult[], request: MetadataRequest, { broker }: RequestContext): MetadataResponse {
  const { node, clusterId } = broker
  return {
    brokers: [{ nodeId: node.id, host: node.host, port: node.port }],
    clusterId,
    controllerId: node.id,
    topics,
    ...(request.includeClusterAuthorizedOperations ? { clusterAuthorizedOperations: allOperations.cluster } : {}),
  }
}

async function resolve(
  asked: AskedTopic,
  request: MetadataRequest,
  context: RequestContext,
): Promise<TopicResult> {
  const { topics, config } = context.broker
  if (context.apiVersion < IDS_SINCE && (asked.name === null || asked.topicId !== ZERO_UUID)) {
    return { errorCode: KafkaError.INVALID_REQUEST, name: asked.name, topicId: asked.topicId, partitions: [] }
  }
  if (asked.name === null || asked.topicId !== ZERO_UUID) {
    const topic = topics.byId(asked.topicId)
    if (topic !== null) return describe(topic, request, context)
    return { errorCode: KafkaError.UNKNOWN_TOPIC_ID, name: null, topicId: asked.topicId, partitions: [] }
  }
  const topic = topics.byName(asked.name)
  if (topic !== null) return describe(topic, request, context)
  if (topicNameProblem(asked.name) !== null) return failed(asked.name, KafkaError.INVALID_TOPIC_EXCEPTION)
  if (!config['auto.create.topics.enable'] || !request.allowAutoTopicCreation) return failed(asked.name, KafkaError.UNKNOWN_TOPIC_OR_PARTITION)
  const created = await topics.autoCreate(asked.name)
  if (created.kind === 'ok') return describe(created.topic, request, context)
  // What clients ask again for, as long as it takes.
  return failed(asked.name, created.code === KafkaError.REQUEST_TIMED_OUT ? KafkaError.LEADER_NOT_AVAILABLE : created.code)
}

function failed(name: string, errorCode: number): TopicResult {
  return { errorCode, name, topicId: ZERO_UUID, partitions: [] }
}

function describe(topic: TopicRecord, request: MetadataRequest, context: RequestContext): TopicResult {
  const { node, topics } = context.broker
  return {
    name: topic.name,
    topicId: topic.id,
    isInternal: topic.internal,
    partitions: Array.from({ length: topic.partitions }, (_, partitionIndex) => ({
      partitionIndex,
      leaderId: node.id,
      leaderEpoch: topics.partition(topic.id, partitionIndex)?.leaderEpoch ?? -1,
      replicaNodes: [node.id],
      isrNodes: [node.id],
      offlineReplicas: [],
    })),
    ...(request.includeTopicAuthorizedOperations ? { topicAuthorizedOperations: topicOperations } : {}),
  }
}
