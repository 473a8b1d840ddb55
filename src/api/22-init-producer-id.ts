// InitProducerId (22), v0–6.
// Idempotent producers (KIP-98): every call without a transactional id gets a fresh producer id with epoch 0; ids come in blocks from the
// journal and are never given twice. A producer's own id and epoch (v3+, KIP-360) come together or not at all; without a transactional id
// they mean nothing. Not done: transactional ids (UNSUPPORTED_FOR_MESSAGE_FORMAT tells clients that transactions are not to be had).
import { KafkaError } from '../../protocol/errors.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import type { InitProducerIdRequest, InitProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import type { Handler } from './handler.ts'

const NONE = -1
/** How long a new block of ids may take; clients then ask again. */
const WAIT_MS = 10_000

export const initProducerId: Handler<InitProducerIdRequest, InitProducerIdResponse> = {
  api: InitProducerId,
  versions: [0, 6],

  async handle(request, context) {
    if ((request.producerId === NONE) !== (request.producerEpoch === NONE)) return { errorCode: KafkaError.INVALID_REQUEST, producerEpoch: NONE }
    if (request.transactionalId !== null) {
      // An empty id is invalid in Kafka, too.
      const errorCode = request.transactionalId === '' ? KafkaError.INVALID_REQUEST : KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT
      return { errorCode, producerEpoch: NONE }
    }
    const { producerIds, env } = context.broker
    const giveUp = new AbortController()
    const late = env.clock.sleep(WAIT_MS, giveUp.signal).then(() => null)
    const producerId = await Promise.race([producerIds.next(), late])
    giveUp.abort()
    if (producerId === null) return { errorCode: KafkaError.COORDINATOR_NOT_AVAILABLE, producerEpoch: NONE }
    return { producerId, producerEpoch: 0 }
  },

  onError: (_request, errorCode) => ({ errorCode, producerEpoch: NONE }),
}
