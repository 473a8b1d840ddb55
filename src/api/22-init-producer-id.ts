// InitProducerId (22), v0–6.
// Idempotent producers (KIP-98): every call without a transactional id gets a fresh producer id with epoch 0; ids come in blocks from the
// journal and are never given twice. A producer's own id and epoch (v3+, KIP-360) come together or not at all; without a transactional id
// they mean nothing. With a transactional id the transaction coordinator decides; a fenced producer hears PRODUCER_FENCED from v4 on (KIP-588).
// Not done: two-phase commit (v6, KIP-939), which is refused as by a Kafka that has it switched off.
import { KafkaError } from '../../protocol/errors.ts'
import { InitProducerId } from '../../protocol/messages/22-init-producer-id.ts'
import type { InitProducerIdRequest, InitProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import type { Broker } from '../broker.ts'
import type { Handler, RequestContext } from './handler.ts'
import { knownSince } from './producer-fenced.ts'

const NONE = -1
/** How long a new block of ids may take; clients then ask again. */
const WAIT_MS = 10_000
const FENCED_SINCE = 4

export const initProducerId: Handler<InitProducerIdRequest, InitProducerIdResponse> = {
  api: InitProducerId,
  versions: [0, 6],

  async handle(request, context) {
    if ((request.producerId === NONE) !== (request.producerEpoch === NONE)) return failed(KafkaError.INVALID_REQUEST)
    if (request.transactionalId !== null) return transactional(request.transactionalId, request, context)
    const producerId = await freshId(context.broker)
    return producerId === null ? failed(KafkaError.COORDINATOR_NOT_AVAILABLE) : { producerId, producerEpoch: 0 }
  },

  onError: (_request, errorCode) => failed(errorCode),
}

async function transactional(transactionalId: string, request: InitProducerIdRequest, context: RequestContext): Promise<InitProducerIdResponse> {
  if (transactionalId === '') return failed(KafkaError.INVALID_REQUEST)
  if (request.enable2Pc) return failed(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
  if (request.keepPreparedTxn) return failed(KafkaError.UNSUPPORTED_VERSION)
  const { errorCode, producerId, producerEpoch } = await context.broker.transactions.init({
    transactionalId,
    timeoutMs: request.transactionTimeoutMs,
    expected: request.producerId === NONE ? null : { producerId: request.producerId, producerEpoch: request.producerEpoch },
  })
  return { errorCode: knownSince(FENCED_SINCE, context.apiVersion, errorCode), producerId, producerEpoch }
}

async function freshId({ producerIds, env }: Broker): Promise<number | null> {
  const giveUp = new AbortController()
  const late = env.clock.sleep(WAIT_MS, giveUp.signal).then(() => null)
  const producerId = await Promise.race([producerIds.next(), late])
  giveUp.abort()
  return producerId
}

function failed(errorCode: number): InitProducerIdResponse {
  return { errorCode, producerId: NONE, producerEpoch: NONE }
}
