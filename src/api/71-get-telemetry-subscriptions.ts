// GetTelemetrySubscriptions (71), v0 (KIP-714).
// What the client-metrics subscriptions want of this client: prefixes of metrics, and how often. A client without an instance id is given one.
import { KafkaError } from '../../protocol/errors.ts'
import { GetTelemetrySubscriptions } from '../../protocol/messages/71-get-telemetry-subscriptions.ts'
import type { GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse } from '../../protocol/messages/71-get-telemetry-subscriptions.ts'
import { telemetryBytesMax } from '../cluster/client-telemetry.ts'
import type { TelemetryClient } from '../cluster/client-telemetry.ts'
import type { Handler, RequestContext } from './handler.ts'

/** zstd, lz4, gzip, snappy: the best first. */
const CODECS = [4, 3, 1, 2]

export const getTelemetrySubscriptions: Handler<GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse> = {
  api: GetTelemetrySubscriptions,
  versions: [0, 0],

  handle({ clientInstanceId }, context) {
    const outcome = context.broker.telemetry.subscribe(clientInstanceId, telemetryClient(context))
    if (typeof outcome === 'number') return refused(clientInstanceId, outcome)
    return {
      clientInstanceId: outcome.clientInstanceId,
      subscriptionId: outcome.subscriptionId,
      acceptedCompressionTypes: CODECS,
      pushIntervalMs: outcome.pushIntervalMs,
      telemetryMaxBytes: telemetryBytesMax,
      // Whole sums: what Prometheus shows of a client is its last push.
      deltaTemporality: false,
      requestedMetrics: [...outcome.metrics],
    }
  },

  onError: ({ clientInstanceId }, errorCode) => refused(clientInstanceId, errorCode),
}

export function telemetryClient({ clientId, clientSoftware, clientHost }: RequestContext): TelemetryClient {
  return { clientId, softwareName: clientSoftware.name, softwareVersion: clientSoftware.version, address: clientHost.replace(/^\//, '') }
}

function refused(clientInstanceId: string, errorCode: number): GetTelemetrySubscriptionsResponse {
  const nothing = { acceptedCompressionTypes: [], pushIntervalMs: 0, telemetryMaxBytes: 0, deltaTemporality: false, requestedMetrics: [] }
  return { errorCode: errorCode || KafkaError.UNKNOWN_SERVER_ERROR, clientInstanceId, subscriptionId: 0, ...nothing }
}
