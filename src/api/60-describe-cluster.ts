// DescribeCluster (60), v0–2 (KIP-700).
// One broker, which is its own controller. Endpoint type 2 (controllers, KIP-919) does not exist here: MISMATCHED_ENDPOINT_TYPE.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeCluster } from '../../protocol/messages/60-describe-cluster.ts'
import type { DescribeClusterRequest, DescribeClusterResponse } from '../../protocol/messages/60-describe-cluster.ts'
import { allOperations } from './authorized-operations.ts'
import type { Handler } from './handler.ts'

const BROKERS = 1
const CONTROLLERS = 2

export const describeCluster: Handler<DescribeClusterRequest, DescribeClusterResponse> = {
  api: DescribeCluster,
  versions: [0, 2],

  handle(request, context) {
    const { node, clusterId } = context.broker
    if (request.endpointType !== BROKERS) {
      const known = request.endpointType === CONTROLLERS
      return {
        errorCode: known ? KafkaError.MISMATCHED_ENDPOINT_TYPE : KafkaError.UNSUPPORTED_ENDPOINT_TYPE,
        errorMessage: known
          ? 'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER'
          : `Unsupported endpoint type ${request.endpointType}`,
        endpointType: BROKERS,
        clusterId: '',
        brokers: [],
      }
    }
    return {
      clusterId,
      controllerId: node.id,
      brokers: [{ brokerId: node.id, host: node.host, port: node.port, isFenced: false }],
      ...(request.includeClusterAuthorizedOperations ? { clusterAuthorizedOperations: allOperations.cluster } : {}),
    }
  },

  onError: (_request, errorCode, { broker }) => ({ errorCode, clusterId: broker.clusterId, brokers: [] }),
}
