// WriteTxnMarkers (27), v1–2.
// Ends what a producer has open in partitions, whatever the coordinator knows: what administrators do about transactions that hang (KIP-664). The
// broker's own coordinator does not need it. Answers when the markers are durable. From v2 on a marker says by which rules its transaction ends (KIP-1228).
import { WriteTxnMarkers } from '../../protocol/messages/27-write-txn-markers.ts'
import type { WriteTxnMarkersRequest, WriteTxnMarkersResponse } from '../../protocol/messages/27-write-txn-markers.ts'
import { EPOCH_BUMP_VERSION } from '../transactions/transaction.ts'
import type { Handler } from './handler.ts'

export const writeTxnMarkers: Handler<WriteTxnMarkersRequest, WriteTxnMarkersResponse> = {
  api: WriteTxnMarkers,
  versions: [1, 2],

  async handle({ markers }, { broker }) {
    return {
      markers: await Promise.all(markers.map(async ({ producerId, producerEpoch, coordinatorEpoch, transactionResult: committed, transactionVersion, topics }) => ({
        producerId,
        topics: await Promise.all(topics.map(async ({ name, partitionIndexes }) => ({
          name,
          partitions: await Promise.all(partitionIndexes.map(async (partitionIndex) => {
            const marker = { producerId, producerEpoch, coordinatorEpoch, committed, bumpsEpoch: transactionVersion >= EPOCH_BUMP_VERSION }
            return { partitionIndex, errorCode: await broker.transactions.writeMarker(name, partitionIndex, marker) }
          })),
        }))),
      }))),
    }
  },

  onError({ markers }, errorCode) {
    return {
      markers: markers.map(({ producerId, topics }) => ({
        producerId,
        topics: topics.map(({ name, partitionIndexes }) => ({
          name,
          partitions: partitionIndexes.map((partitionIndex) => ({ partitionIndex, errorCode })),
        })),
      })),
    }
  },
}
