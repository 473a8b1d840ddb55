// DescribeQuorum (55), v0–2 (KIP-595).
// The metadata log is the journal on the object store, which replicates it: the quorum that tools see has one voter, this broker, at the
// newest entry that it has read. The incarnation stands for the leader epoch.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeQuorum } from '../../protocol/messages/55-describe-quorum.ts'
import type { DescribeQuorumRequest, DescribeQuorumResponse } from '../../protocol/messages/55-describe-quorum.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import type { Handler } from './handler.ts'

const METADATA_TOPIC = '__cluster_metadata'
const NOBODY = -1

export const describeQuorum: Handler<DescribeQuorumRequest, DescribeQuorumResponse> = {
  api: DescribeQuorum,
  versions: [0, 2],

  handle(request, { broker }) {
    const { node, engine, journal, env } = broker
    const end = journal.state.version + 1
    const nowMs = env.clock.now()
    const voter = { replicaId: node.id, replicaDirectoryId: ZERO_UUID, logEndOffset: end, lastFetchTimestamp: nowMs, lastCaughtUpTimestamp: nowMs }
    return {
      errorMessage: null,
      topics: request.topics.map(({ topicName, partitions }) => ({
        topicName,
        partitions: partitions.map(({ partitionIndex }) => {
          if (topicName !== METADATA_TOPIC || partitionIndex !== 0) {
            const errorCode = KafkaError.UNKNOWN_TOPIC_OR_PARTITION
            return { partitionIndex, errorCode, errorMessage: null, leaderId: NOBODY, leaderEpoch: 0, highWatermark: 0, currentVoters: [], observers: [] }
          }
          return { partitionIndex, errorMessage: null, leaderId: node.id, leaderEpoch: engine.incarnation, highWatermark: end, currentVoters: [voter], observers: [] }
        }),
      })),
      nodes: [{ nodeId: node.id, listeners: [{ name: 'PLAINTEXT', host: node.host, port: node.port }] }],
    }
  },

  onError: (_request, errorCode) => ({ errorCode, errorMessage: null, topics: [], nodes: [] }),
}
