/**
 * Produce (key 0): appends record batches to partitions.
 * Versions 3 to 13 are declared. Kafka 4 advertises 0 to 2 for the sake of old librdkafka (KAFKA-18659) but cannot read
 * them, nor can this codec. v5 adds the log start offset, v7 allows zstd, v8 per-record errors (KIP-467), v9 is
 * flexible, v10 names the new leader (KIP-951), v12 lets transactions add partitions implicitly (KIP-890), v13 names
 * topics by id (KIP-516).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int64, nullableString, records, string, struct, uuid } from '../schema/field.ts'

export const Produce = defineApi({
  key: 0,
  name: 'Produce',
  versions: [3, 13],
  flexible: 9,
  request: struct({
    transactionalId: nullableString.default(null),
    acks: int16,
    timeoutMs: int32,
    topicData: array(struct({
      name: string.until(12),
      topicId: uuid.since(13),
      partitionData: array(struct({
        index: int32,
        records: records,
      })),
    })),
  }),
  response: struct({
    responses: array(struct({
      name: string.until(12),
      topicId: uuid.since(13),
      partitionResponses: array(struct({
        index: int32,
        errorCode: int16.default(0),
        baseOffset: int64,
        logAppendTimeMs: int64.default(-1),
        logStartOffset: int64.since(5).default(-1),
        recordErrors: array(struct({
          batchIndex: int32,
          batchIndexErrorMessage: nullableString.default(null),
        })).since(8),
        errorMessage: nullableString.since(8).default(null),
        currentLeader: struct({
          leaderId: int32.default(-1),
          leaderEpoch: int32.default(-1),
        }).tagged(0, 10),
      })),
    })),
    throttleTimeMs: int32.default(0),
    nodeEndpoints: array(struct({
      nodeId: int32,
      host: string,
      port: int32,
      rack: nullableString.default(null),
    })).tagged(0, 10),
  }),
})

export type ProduceRequest = RequestOf<typeof Produce>
export type ProduceResponse = ResponseOf<typeof Produce>
