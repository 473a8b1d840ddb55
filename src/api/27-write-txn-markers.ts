// WriteTxnMarkers (27), v1–2.
// Ends what a producer has open in partitions, whatever the coordinator knows: what administrators do about transactions that hang (KIP-664). The
// broker's own coordinator does not need it. Answers when the markers are durable. The rules of v2 (KIP-1228) are for coordinators and not looked at.
import { WriteTxnMarkers } from '../../protocol/messages/27-write-txn-markers.ts'
import type { WriteTxnMarkersRequest, WriteTxnMarkersResponse } from '../../protocol/messages/27-write-txn-markers.ts'
import type { Handler } from './handler.ts'

export const writeTxnMarkers: Handler<WriteTxnMarkersRequest, WriteTxnMarkersResponse> = {
  api: WriteTxnMarkers,
  versions: [1, 2],

  async handle({ markers }, { broker }) {
    return {
      markers: await Promise.all(markers.map(async ({ producerId, producerEpoch, coordinatorEpoch, transactionResult: committed, topics }) => ({
        producerId,
        topics: await Promise.all(topics.map(async ({ name, partitionIndexes }) => ({
          name,
          partitions: await Promise.all(partitionIndexes.map(async (partitionIndex) => {
            const marker = { producerId, producerEpoch, coordinatorEpoch, committed }
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
