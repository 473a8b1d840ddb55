// InitProducerId (22), v0–6.
// Idempotent producers (KIP-98): every call without a transactional id gets a fresh producer id with epoch 0; ids come in blocks from the
// journal and are never given twice. Not done: transactional ids (later: TRANSACTIONAL_ID_AUTHORIZATION is not the answer, so
// COORDINATOR_NOT_AVAILABLE is never reached either: UNSUPPORTED_FOR_MESSAGE_FORMAT tells clients that transactions are not to be had).
import { KafkaError } from '../../protocol/errors.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import type { InitProducerIdRequest, InitProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import type { Handler } from './handler.ts'

export const initProducerId: Handler<InitProducerIdRequest, InitProducerIdResponse> = {
  api: InitProducerId,
  versions: [0, 6],

  async handle(request, context) {
    if (request.transactionalId !== null) {
      // An empty id is invalid in Kafka, too.
      const errorCode = request.transactionalId === '' ? KafkaError.INVALID_REQUEST : KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT
      return { errorCode, producerEpoch: -1 }
    }
    const producerId = await context.broker.producerIds.next()
    if (producerId === null) return { errorCode: KafkaError.COORDINATOR_NOT_AVAILABLE, producerEpoch: -1 }
    return { producerId, producerEpoch: 0 }
  },
}
