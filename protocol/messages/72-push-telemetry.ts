/**
 * PushTelemetry (key 72): metrics of a client, as OTLP, often compressed (KIP-714).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { boolean, bytes, int16, int32, int8, struct, uuid } from '../schema/field.ts'

export const PushTelemetry = defineApi({
  key: 72,
  name: 'PushTelemetry',
  versions: [0, 0],
  flexible: 0,
  request: struct({
    clientInstanceId: uuid,
    subscriptionId: int32,
    terminating: boolean,
    compressionType: int8,
    metrics: bytes,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
  }),
})

export type PushTelemetryRequest = RequestOf<typeof PushTelemetry>
export type PushTelemetryResponse = ResponseOf<typeof PushTelemetry>
