// ListConfigResources (74), v0–1 (KIP-714, KIP-1142).
// Names of what has configs: topics, this broker, for itself and its loggers, and the groups and client-metrics subscriptions with configs of their own. v0 lists the
// latter only. An unknown type of resource: UNSUPPORTED_VERSION, as on Kafka.
import { KafkaError } from '../../protocol/errors.ts'
import { ListConfigResources } from '../../protocol/messages/74-list-config-resources.ts'
import type { ListConfigResourcesRequest, ListConfigResourcesResponse } from '../../protocol/messages/74-list-config-resources.ts'
import type { Broker } from '../broker.ts'
import { BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC } from './config-resource.ts'
import type { Handler } from './handler.ts'

const ALL = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP]

export const listConfigResources: Handler<ListConfigResourcesRequest, ListConfigResourcesResponse> = {
  api: ListConfigResources,
  versions: [0, 1],

  handle(request, { broker, apiVersion }) {
    const asked = apiVersion === 0 ? [CLIENT_METRICS] : request.resourceTypes.length === 0 ? ALL : Array.from(new Set(request.resourceTypes))
    if (!asked.every((type) => ALL.includes(type))) return { errorCode: KafkaError.UNSUPPORTED_VERSION, configResources: [] }
    return {
      configResources: asked.flatMap((resourceType) => namesOf(broker, resourceType).map((resourceName) => ({ resourceName, resourceType }))),
    }
  },

  onError: (_request, errorCode) => ({ errorCode, configResources: [] }),
}

function namesOf(broker: Broker, resourceType: number): string[] {
  switch (resourceType) {
    case TOPIC:
      return Array.from(broker.topics.all(), ({ name }) => name)
    case BROKER:
    case BROKER_LOGGER:
      return [String(broker.node.id)]
    case CLIENT_METRICS:
      return broker.resourceConfigs.all('client-metrics').map(({ name }) => name)
    case GROUP:
      return broker.resourceConfigs.all('group').map(({ name }) => name)
    default:
      return []
  }
}
