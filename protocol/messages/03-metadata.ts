/**
 * Metadata (key 3): brokers, topics and who leads their partitions.
 * In v0 an empty list of topics asks for all of them, from v1 on null does. v4 can forbid auto-creation, v5 adds
 * offline replicas, v7 leader epochs (KIP-320), v8 authorised operations (KIP-430), v9 is flexible, v10 adds topic ids,
 * which v12 allows to ask by (KIP-516), v13 a top-level error (KIP-1102).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, nullableString, string, struct, uuid } from '../schema/field.ts'
import { OPERATIONS_NOT_REQUESTED } from './authorized-operations.ts'

export const Metadata = defineApi({
  key: 3,
  name: 'Metadata',
  versions: [0, 13],
  flexible: 9,
  request: struct({
    topics: array(struct({
      topicId: uuid.since(10),
      name: string.nullableSince(10),
    })).nullableSince(1),
    allowAutoTopicCreation: boolean.since(4).default(true),
    includeClusterAuthorizedOperations: boolean.since(8).until(10),
    includeTopicAuthorizedOperations: boolean.since(8),
  }),
  response: struct({
    throttleTimeMs: int32.since(3).default(0),
    brokers: array(struct({
      nodeId: int32,
      host: string,
      port: int32,
      rack: nullableString.since(1).default(null),
    })),
    clusterId: nullableString.since(2).default(null),
    controllerId: int32.since(1).default(-1),
    topics: array(struct({
      errorCode: int16.default(0),
      name: string.nullableSince(12),
      topicId: uuid.since(10),
      isInternal: boolean.since(1).default(false),
      partitions: array(struct({
        errorCode: int16.default(0),
        partitionIndex: int32,
        leaderId: int32,
        leaderEpoch: int32.since(7).default(-1),
        replicaNodes: array(int32),
        isrNodes: array(int32),
        offlineReplicas: array(int32).since(5),
      })),
      topicAuthorizedOperations: int32.since(8).default(OPERATIONS_NOT_REQUESTED),
    })),
    clusterAuthorizedOperations: int32.since(8).until(10).default(OPERATIONS_NOT_REQUESTED),
    errorCode: int16.since(13).default(0),
  }),
})

export type MetadataRequest = RequestOf<typeof Metadata>
export type MetadataResponse = ResponseOf<typeof Metadata>
