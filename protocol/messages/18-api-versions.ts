/**
 * ApiVersions (key 18): which APIs and versions the broker speaks; the first request of a connection.
 * v3 is flexible and names the client's software (KIP-511), v4 allows finalised features whose lowest version is 0. The
 * header of the response is that of v0 in all versions, and a version that the broker does not know is answered in v0.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int64, string, struct } from '../schema/field.ts'

export const ApiVersions = defineApi({
  key: 18,
  name: 'ApiVersions',
  versions: [0, 4],
  flexible: 3,
  request: struct({
    clientSoftwareName: string.since(3),
    clientSoftwareVersion: string.since(3),
  }),
  response: struct({
    errorCode: int16.default(0),
    apiKeys: array(struct({
      apiKey: int16,
      minVersion: int16,
      maxVersion: int16,
    })),
    throttleTimeMs: int32.since(1).default(0),
    supportedFeatures: array(struct({
      name: string,
      minVersion: int16,
      maxVersion: int16,
    })).tagged(0, 3),
    finalizedFeaturesEpoch: int64.tagged(1, 3).default(-1),
    finalizedFeatures: array(struct({
      name: string,
      maxVersionLevel: int16,
      minVersionLevel: int16,
    })).tagged(2, 3),
    zkMigrationReady: boolean.tagged(3, 3).default(false),
  }),
})

export type ApiVersionsRequest = RequestOf<typeof ApiVersions>
export type ApiVersionsResponse = ResponseOf<typeof ApiVersions>
