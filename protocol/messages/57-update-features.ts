/**
 * UpdateFeatures (key 57): changes the finalized levels of features (KIP-584).
 * All versions are flexible. v1 can validate only and knows unsafe downgrades (KIP-778), v2 has no results by feature.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const UpdateFeatures = defineApi({
  key: 57,
  name: 'UpdateFeatures',
  versions: [0, 2],
  flexible: 0,
  request: struct({
    timeoutMs: int32.default(60000),
    featureUpdates: array(struct({
      feature: string,
      maxVersionLevel: int16,
      allowDowngrade: boolean.until(0),
      upgradeType: int8.since(1).default(1),
    })),
    validateOnly: boolean.since(1).default(false),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    errorMessage: nullableString,
    results: array(struct({
      feature: string,
      errorCode: int16.default(0),
      errorMessage: nullableString,
    })).until(1),
  }),
})

export type UpdateFeaturesRequest = RequestOf<typeof UpdateFeatures>
export type UpdateFeaturesResponse = ResponseOf<typeof UpdateFeatures>
