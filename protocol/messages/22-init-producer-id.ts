/**
 * InitProducerId (key 22): gives a producer its id and epoch.
 * v2 is flexible, v3 lets a producer bump its own epoch (KIP-360), v4 tells fenced producers (KIP-588), v5 is for
 * KIP-890. Kafka calls v6, two-phase commit (KIP-939), unstable and does not advertise it.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { boolean, int16, int32, int64, nullableString, struct } from '../schema/field.ts'

export const InitProducerId = defineApi({
  key: 22,
  name: 'InitProducerId',
  versions: [0, 6],
  flexible: 2,
  request: struct({
    transactionalId: nullableString,
    transactionTimeoutMs: int32,
    producerId: int64.since(3).default(-1),
    producerEpoch: int16.since(3).default(-1),
    enable2Pc: boolean.since(6).default(false),
    keepPreparedTxn: boolean.since(6).default(false),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    producerId: int64.default(-1),
    producerEpoch: int16,
    ongoingTxnProducerId: int64.since(6).default(-1),
    ongoingTxnProducerEpoch: int16.since(6).default(-1),
  }),
})

export type InitProducerIdRequest = RequestOf<typeof InitProducerId>
export type InitProducerIdResponse = ResponseOf<typeof InitProducerId>
