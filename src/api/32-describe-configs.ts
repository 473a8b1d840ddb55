// DescribeConfigs (32), v1–4.
// Topics: every config with its value, source, synonyms, type (v3+) and documentation (v3+). Brokers: the settings that carry Kafka's
// names, read-only. Groups and client-metrics subscriptions: their configs or the defaults. Broker loggers: their levels.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeConfigs } from '../../protocol/messages/32-describe-configs.ts'
import type { DescribeConfigsRequest, DescribeConfigsResponse } from '../../protocol/messages/32-describe-configs.ts'
import { configSource, describeBrokerConfigs, describeTopicConfigs } from '../cluster/describe-configs.ts'
import type { DescribedConfig } from '../cluster/describe-configs.ts'
import { configType } from '../cluster/topic-configs.ts'
import { topicNameProblem } from '../cluster/topic-names.ts'
import type { Broker } from '../broker.ts'
import { BROKER, BROKER_LOGGER, TOPIC, resourceKinds } from './config-resource.ts'
import type { Handler, RequestContext } from './handler.ts'

type AskedResource = DescribeConfigsRequest['resources'][number]
type Result = DescribeConfigsResponse['results'][number]

export const describeConfigs: Handler<DescribeConfigsRequest, DescribeConfigsResponse> = {
  api: DescribeConfigs,
  versions: [1, 4],

  handle(request, context) {
    return { results: request.resources.map((asked) => describe(asked, request, context)) }
  },

  onError: (request, errorCode) => ({ results: request.resources.map((asked) => failed(asked, errorCode, 'The configs could not be read.')) }),
}

function describe(asked: AskedResource, request: DescribeConfigsRequest, context: RequestContext): Result {
  const { broker } = context
  switch (asked.resourceType) {
    case TOPIC: {
      const problem = topicNameProblem(asked.resourceName)
      if (problem !== null) return failed(asked, KafkaError.INVALID_TOPIC_EXCEPTION, problem)
      const topic = broker.topics.byName(asked.resourceName)
      if (topic === null) return failed(asked, KafkaError.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.')
      return result(asked, describeTopicConfigs(topic, broker.config, broker.configOrigins), request)
    }
    case BROKER: {
      // The empty name stands for the cluster-wide dynamic defaults, of which there are none.
      if (asked.resourceName === '') return result(asked, [], request)
      if (!/^-?\d+$/.test(asked.resourceName)) {
        return failed(asked, KafkaError.INVALID_REQUEST, `Broker id must be an integer, but it is: ${asked.resourceName}`)
      }
      if (Number(asked.resourceName) !== broker.node.id) {
        return failed(asked, KafkaError.INVALID_REQUEST, `Unexpected broker id, expected ${broker.node.id} or empty string, but received ${asked.resourceName}`)
      }
      return result(asked, [...describeBrokerConfigs(broker.config, broker.configOrigins), advertisedListeners(broker)], request)
    }
    case BROKER_LOGGER: {
      const { node, loggers } = broker
      if (asked.resourceName !== String(node.id)) {
        return failed(asked, KafkaError.INVALID_REQUEST, `Unexpected broker id, expected ${node.id} but received ${asked.resourceName}`)
      }
      return result(asked, loggers.levels().map(loggerConfig), request)
    }
    default: {
      const kind = resourceKinds.get(asked.resourceType)
      if (kind === undefined) return failed(asked, KafkaError.INVALID_REQUEST, `Unsupported resource type: ${asked.resourceType}`)
      if (asked.resourceName === '') return failed(asked, KafkaError.INVALID_REQUEST, 'The name of the resource must not be empty.')
      return result(asked, broker.resourceConfigs.describe(kind, asked.resourceName), request)
    }
  }
}

function loggerConfig({ name, level }: { readonly name: string; readonly level: string }): DescribedConfig {
  const documentation = 'The least severe level that this logger writes.'
  return { name, value: level, source: configSource.logger, readOnly: false, sensitive: false, type: configType.string, documentation, synonyms: [] }
}

/** Under Kafka's name what `advertise` and the real port come to. */
function advertisedListeners({ node, configOrigins }: Broker): DescribedConfig {
  const name = 'advertised.listeners'
  const value = `PLAINTEXT://${node.host}:${node.port}`
  const given = [configOrigins.advertise, configOrigins.listen].some((origin) => (origin ?? 'default') !== 'default')
  const source = given ? configSource.staticBroker : configSource.default
  const documentation = 'Where clients are told to connect (the settings advertise and listen).'
  return { name, value, source, readOnly: true, sensitive: false, type: configType.string, documentation, synonyms: [{ name, value, source }] }
}

function result(asked: AskedResource, configs: readonly DescribedConfig[], request: DescribeConfigsRequest): Result {
  // No keys are all keys, as null is.
  const keys = asked.configurationKeys === null || asked.configurationKeys.length === 0 ? null : new Set(asked.configurationKeys)
  return {
    errorMessage: '',
    resourceType: asked.resourceType,
    resourceName: asked.resourceName,
    configs: configs
      .filter(({ name }) => keys === null || keys.has(name))
      .map((config) => ({
        name: config.name,
        value: config.sensitive ? null : config.value,
        readOnly: config.readOnly,
        configSource: config.source,
        isSensitive: config.sensitive,
        synonyms: request.includeSynonyms ? [...config.synonyms] : [],
        configType: config.type,
        documentation: request.includeDocumentation ? config.documentation : null,
      })),
  }
}

function failed(asked: AskedResource, errorCode: number, errorMessage: string): Result {
  return { errorCode, errorMessage, resourceType: asked.resourceType, resourceName: asked.resourceName, configs: [] }
}
