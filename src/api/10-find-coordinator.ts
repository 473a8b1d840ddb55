/**
 * FindCoordinator (key 10, versions 0–6): this broker coordinates everything. From v4 on a request asks for many keys (KIP-699).
 * Key types: 0 groups; 1 transactional ids; 2 share groups (v6, KIP-932), which are not supported.
 */
import { KafkaError } from '../../protocol/errors.ts'
import { FindCoordinator } from '../../protocol/messages/10-find-coordinator.ts'
import type { FindCoordinatorRequest, FindCoordinatorResponse } from '../../protocol/messages/10-find-coordinator.ts'
import type { Handler, RequestContext } from './handler.ts'

const MANY_KEYS_SINCE = 4
const GROUP = 0
const TRANSACTION = 1

interface Found {
  readonly errorCode: number
  readonly errorMessage: string
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

export const findCoordinator: Handler<FindCoordinatorRequest, FindCoordinatorResponse> = {
  api: FindCoordinator,
  versions: [0, 6],

  handle(request, context) {
    return answer(request, context, find(request.keyType, context))
  },

  onError(request, errorCode, context) {
    return answer(request, context, notFound(errorCode, 'the coordinator could not be found'))
  },
}

function answer(request: FindCoordinatorRequest, { apiVersion }: RequestContext, found: Found): FindCoordinatorResponse {
  if (apiVersion >= MANY_KEYS_SINCE) return { coordinators: request.coordinatorKeys.map((key) => ({ key, ...found })) }
  // Kafka's message for success in these versions, which some clients print.
  return found.errorCode === KafkaError.NONE ? { ...found, errorMessage: 'NONE' } : found
}

function find(keyType: number, { broker }: RequestContext): Found {
  switch (keyType) {
    case GROUP:
    case TRANSACTION: {
      const { id, host, port } = broker.groups.selfNode()
      return { errorCode: KafkaError.NONE, errorMessage: '', nodeId: id, host, port }
    }
    default:
      return notFound(KafkaError.INVALID_REQUEST, `There are no coordinators of type ${keyType}.`)
  }
}

function notFound(errorCode: number, errorMessage: string): Found {
  return { errorCode, errorMessage, nodeId: -1, host: '', port: -1 }
}
