// PushTelemetry (72), v0 (KIP-714).
// Metrics of a client, decompressed within a bound; gauges and sums show in Prometheus as bayou_client_metric. A subscription that has
// changed: UNKNOWN_SUBSCRIPTION_ID, and the client asks anew.
import { PushTelemetry } from '../../protocol/messages/72-push-telemetry.ts'
import type { PushTelemetryRequest, PushTelemetryResponse } from '../../protocol/messages/72-push-telemetry.ts'
import { telemetryClient } from './71-get-telemetry-subscriptions.ts'
import type { Handler } from './handler.ts'

export const pushTelemetry: Handler<PushTelemetryRequest, PushTelemetryResponse> = {
  api: PushTelemetry,
  versions: [0, 0],
  handle: (request, context) => ({ errorCode: context.broker.telemetry.push(request, telemetryClient(context)) }),
  onError: (_request, errorCode) => ({ errorCode }),
}
