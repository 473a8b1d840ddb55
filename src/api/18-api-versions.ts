// ApiVersions (18), v0–4.
// The advertised versions are those of the registry: what is not implemented is not advertised. A version beyond ours is answered by the
// dispatcher in v0 with UNSUPPORTED_VERSION (KIP-511). Produce is advertised from 0, as Kafka 4 does for librdkafka (KAFKA-18659).
// Features (KIP-584) are those of src/cluster/features.ts; their epoch is the incarnation, since a release decides their levels. Clients below
// v4 refuse features whose lowest level is 0, so these are not told of them.
import { KafkaError } from '../../protocol/errors.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import type { ApiVersionsRequest, ApiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { features } from '../cluster/features.ts'
import type { Handler } from './handler.ts'

/** What KIP-511 allows as a client's name and version. */
const SOFTWARE = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/
const SOFTWARE_SINCE = 3
const LEVEL_ZERO_SINCE = 4
const PRODUCE_KEY = 0

export const apiVersions: Handler<ApiVersionsRequest, ApiVersionsResponse> = {
  api: ApiVersions,
  versions: [0, 4],

  handle(request, context) {
    if (context.apiVersion >= SOFTWARE_SINCE) {
      const { clientSoftwareName: name, clientSoftwareVersion: version } = request
      if (!SOFTWARE.test(name) || !SOFTWARE.test(version)) return { errorCode: KafkaError.INVALID_REQUEST, apiKeys: [] }
      context.clientSoftware.name = name
      context.clientSoftware.version = version
    }
    const told = features.filter(({ min }) => min > 0 || context.apiVersion >= LEVEL_ZERO_SINCE)
    return {
      supportedFeatures: told.map(({ name, min, max }) => ({ name, minVersion: min, maxVersion: max })),
      finalizedFeaturesEpoch: context.broker.engine.incarnation,
      finalizedFeatures: told.map(({ name, finalized }) => ({ name, maxVersionLevel: finalized, minVersionLevel: finalized })),
      apiKeys: context.broker.handlers.map(({ api, versions: [first, last] }) => ({
        apiKey: api.key,
        minVersion: api.key === PRODUCE_KEY ? 0 : first,
        maxVersion: last,
      })),
    }
  },

  onError: (_request, errorCode) => ({ errorCode, apiKeys: [] }),
}
