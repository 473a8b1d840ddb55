// IncrementalAlterConfigs (44), v0–1 (KIP-339).
// Topic configs: SET, DELETE, and APPEND and SUBTRACT for lists; checked by name and value, in force when the answer is sent. Settings of the
// broker are fixed at its start: refused (Kafka changes some of them while it runs). Groups and client-metrics subscriptions (KIP-848, KIP-714)
// likewise; a resource of these kinds exists as long as it has a config of its own. Levels of this broker's loggers: SET and DELETE.
import { KafkaError } from '../../protocol/errors.ts'
import { IncrementalAlterConfigs } from '../../protocol/messages/44-incremental-alter-configs.ts'
import type { IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse } from '../../protocol/messages/44-incremental-alter-configs.ts'
import { defaultResourceConfig, resourceConfigs, unknownResourceConfig } from '../cluster/resource-configs.ts'
import { effectiveTopicConfig, topicConfigDefinition } from '../cluster/topic-configs.ts'
import { BROKER, BROKER_LOGGER, TOPIC, resourceKinds } from './config-resource.ts'
import { LEVEL_NAMES, levelNamed } from '../loggers.ts'
import type { Config } from '../config/settings.ts'
import type { Handler, RequestContext } from './handler.ts'

type AskedResource = IncrementalAlterConfigsRequest['resources'][number]
type Result = IncrementalAlterConfigsResponse['responses'][number]

const SET = 0
const DELETE = 1
const APPEND = 2
const SUBTRACT = 3

/** What an alteration makes of the configs that a resource has: those that it has afterwards, or why not. */
type Alteration = (current: Readonly<Record<string, string>>) => Readonly<Record<string, string>> | { readonly code: number; readonly message: string }
interface Resource {
  readonly resourceType: number
  readonly resourceName: string
  readonly configs: readonly { readonly name: string }[]
}

export const incrementalAlterConfigs: Handler<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse> = {
  api: IncrementalAlterConfigs,
  versions: [0, 1],

  async handle(request, context) {
    const keys = request.resources.map(resourceKey)
    const responses = await Promise.all(
      request.resources.map(async (asked, index) => {
        const { resourceType, resourceName } = asked
        if (keys.indexOf(keys[index]!) !== keys.lastIndexOf(keys[index]!)) {
          return { errorCode: KafkaError.INVALID_REQUEST, errorMessage: 'Each resource must appear at most once.', resourceType, resourceName }
        }
        if (asked.resourceType === BROKER_LOGGER) return alterLoggers(asked, request.validateOnly, context)
        return await alterResource(asked, (current) => step(asked, current, context), request.validateOnly, context)
      }),
    )
    return { responses }
  },

  onError: (request, errorCode) => ({
    responses: request.resources.map(({ resourceType, resourceName }) => ({ errorCode, errorMessage: null, resourceType, resourceName })),
  }),
}

/** One name for a resource, to find duplicates. */
export function resourceKey({ resourceType, resourceName }: { readonly resourceType: number; readonly resourceName: string }): string {
  return `${resourceType} ${resourceName}`
}

/** Alters the configs of one resource; also for AlterConfigs. */
export async function alterResource(asked: Resource, alteration: Alteration, validateOnly: boolean, context: RequestContext): Promise<Result> {
  const { resourceType, resourceName } = asked
  const failed = (errorCode: number, errorMessage: string): Result => ({ errorCode, errorMessage, resourceType, resourceName })
  if (new Set(asked.configs.map(({ name }) => name)).size !== asked.configs.length) {
    return failed(KafkaError.INVALID_REQUEST, 'Error due to duplicate config keys')
  }
  if (resourceType === BROKER_LOGGER) {
    return failed(KafkaError.INVALID_REQUEST, 'AlterConfigs does not change the levels of loggers: use IncrementalAlterConfigs.')
  }
  if (resourceType === BROKER) {
    const { id } = context.broker.node
    if (resourceName !== '' && resourceName !== String(id)) {
      return failed(KafkaError.INVALID_REQUEST, `Unexpected broker id, expected ${id}, but received ${resourceName}`)
    }
    const names = asked.configs.map(({ name }) => name).join(', ')
    return failed(KafkaError.INVALID_REQUEST, `Cannot update these configs dynamically: [${names}]. They are set at the start of the broker (bayou config lists them).`)
  }
  const { broker } = context
  const kind = resourceKinds.get(resourceType)
  if (kind === undefined && resourceType !== TOPIC) return failed(KafkaError.INVALID_REQUEST, `Unknown resource type ${resourceType}`)
  if (kind !== undefined && resourceName === '') return failed(KafkaError.INVALID_REQUEST, 'The name of the resource must not be empty.')
  const outcome =
    kind === undefined
      ? await broker.topics.alterConfigs(resourceName, alteration, { validateOnly })
      : await broker.resourceConfigs.alter(kind, resourceName, alteration, { validateOnly })
  return outcome.kind === 'ok' ? { errorMessage: null, resourceType, resourceName } : failed(outcome.code, outcome.message)
}

/** Levels of loggers: all of the changes, or none. Gone with the process, as on Kafka. */
function alterLoggers({ resourceType, resourceName, configs }: AskedResource, validateOnly: boolean, { broker }: RequestContext): Result {
  const { loggers, node } = broker
  const failed = (errorCode: number, errorMessage: string): Result => ({ errorCode, errorMessage, resourceType, resourceName })
  if (resourceName !== String(node.id)) {
    return failed(KafkaError.INVALID_REQUEST, `Unexpected broker id, expected ${node.id}, but received ${resourceName}`)
  }
  for (const { name, configOperation, value } of configs) {
    if (!loggers.has(name)) return failed(KafkaError.INVALID_CONFIG, `Logger ${name} does not exist!`)
    if (configOperation === DELETE) {
      if (loggers.isRoot(name)) return failed(KafkaError.INVALID_REQUEST, `Removing the log level of the ${name} logger is not allowed`)
    } else if (configOperation !== SET) {
      return failed(KafkaError.INVALID_REQUEST, `Only SET and DELETE are allowed for BROKER_LOGGER, not operation ${configOperation} for ${name}`)
    } else if (levelNamed(value ?? '') === null) {
      return failed(KafkaError.INVALID_CONFIG, `Cannot set the log level of ${name} to ${value} as it is not a supported log level. Valid log levels are ${LEVEL_NAMES.join(', ')}`)
    }
  }
  if (!validateOnly) {
    for (const { name, configOperation, value } of configs) loggers.setLevel(name, configOperation === DELETE ? null : levelNamed(value ?? ''))
  }
  return { errorMessage: null, resourceType, resourceName }
}

function step(asked: AskedResource, current: Readonly<Record<string, string>>, { broker }: RequestContext): ReturnType<Alteration> {
  const configs = new Map(Object.entries(current))
  for (const { name, configOperation, value } of asked.configs) {
    if (configOperation === DELETE) {
      // What has no such config is as it shall be, also where nobody knows it.
      configs.delete(name)
      continue
    }
    const definition = definitionOf(asked.resourceType, name, current, broker.config)
    if (typeof definition === 'string') return { code: KafkaError.INVALID_CONFIG, message: definition }
    if (value === null) return { code: KafkaError.INVALID_REQUEST, message: `Null value not supported for : ${name}` }
    if (configOperation === SET) {
      configs.set(name, value.trim())
      continue
    }
    if (configOperation !== APPEND && configOperation !== SUBTRACT) {
      return { code: KafkaError.INVALID_REQUEST, message: `Unknown operation type ${configOperation} for ${name}` }
    }
    if (definition.type !== 'list') {
      return { code: KafkaError.INVALID_CONFIG, message: `Can't ${configOperation === APPEND ? 'APPEND' : 'SUBTRACT'} to key ${name} because its type is not LIST.` }
    }
    const items = new Set(listItems(configs.get(name) ?? definition.inForce))
    for (const item of listItems(value)) {
      if (configOperation === APPEND) items.add(item)
      else items.delete(item)
    }
    configs.set(name, [...items].join(','))
  }
  return Object.fromEntries(configs)
}

/** The type of a config and its value in force, or why there is no such config. */
function definitionOf(
  resourceType: number,
  name: string,
  current: Readonly<Record<string, string>>,
  config: Config,
): { readonly type: string; readonly inForce: string } | string {
  const kind = resourceKinds.get(resourceType)
  if (kind === undefined) {
    const definition = topicConfigDefinition(name)
    return definition === undefined ? `Unknown topic config name: ${name}` : { type: definition.type, inForce: effectiveTopicConfig(definition, current, config) }
  }
  const definition = resourceConfigs[kind].find((candidate) => candidate.name === name)
  return definition === undefined ? unknownResourceConfig(kind, name) : { type: definition.type, inForce: current[name] ?? defaultResourceConfig(definition, config) }
}

function listItems(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}
