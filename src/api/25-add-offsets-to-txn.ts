// AddOffsetsToTxn (25), v0–4.
// Makes the offsets of a group part of a transaction: the partition of `__consumer_offsets` that they go to.
import { AddOffsetsToTxn } from '../../protocol/messages/25-add-offsets-to-txn.ts'
import type { AddOffsetsToTxnRequest, AddOffsetsToTxnResponse } from '../../protocol/messages/25-add-offsets-to-txn.ts'
import { OFFSETS_TOPIC } from '../cluster/topic-names.ts'
import type { Handler } from './handler.ts'
import { knownSince } from './producer-fenced.ts'

const FENCED_SINCE = 2
/** Clients that do not leave it to the broker to make partitions part of a transaction keep their epoch. */
const CLIENT_VERSION = 0

export const addOffsetsToTxn: Handler<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse> = {
  api: AddOffsetsToTxn,
  versions: [0, 4],

  async handle(request, { broker, apiVersion }) {
    const partitions = new Map([[OFFSETS_TOPIC, new Set([broker.groups.offsetsPartitionOf(request.groupId)])]])
    const errorCode = await broker.transactions.addPartitions(request.transactionalId, request, partitions, CLIENT_VERSION)
    return { errorCode: knownSince(FENCED_SINCE, apiVersion, errorCode) }
  },

  onError: (_request, errorCode) => ({ errorCode }),
}
