// AlterConfigs (33), v0–2 (KIP-133).
// Replaces all configs of a topic, a group or a client-metrics subscription: what is not named goes back to its default. Settings of the
// broker are fixed at its start: refused. Clients since Kafka 2.3 use IncrementalAlterConfigs instead.
import { AlterConfigs } from '../../protocol/messages/33-alter-configs.ts'
import type { AlterConfigsRequest, AlterConfigsResponse } from '../../protocol/messages/33-alter-configs.ts'
import { KafkaError } from '../../protocol/errors.ts'
import { alterResource, resourceKey } from './44-incremental-alter-configs.ts'
import type { Handler } from './handler.ts'

export const alterConfigs: Handler<AlterConfigsRequest, AlterConfigsResponse> = {
  api: AlterConfigs,
  versions: [0, 2],

  async handle(request, context) {
    const keys = request.resources.map(resourceKey)
    const responses = await Promise.all(
      request.resources.map(async (asked, index) => {
        if (keys.indexOf(keys[index]!) !== keys.lastIndexOf(keys[index]!)) return duplicate(asked)
        return await alterResource(asked, () => replacement(asked.configs), request.validateOnly, context)
      }),
    )
    return { responses }
  },

  onError: (request, errorCode) => ({
    responses: request.resources.map(({ resourceType, resourceName }) => ({ errorCode, errorMessage: null, resourceType, resourceName })),
  }),
}

type Asked = AlterConfigsRequest['resources'][number]

function duplicate({ resourceType, resourceName }: Asked): AlterConfigsResponse['responses'][number] {
  return { errorCode: KafkaError.INVALID_REQUEST, errorMessage: 'Each resource must appear at most once.', resourceType, resourceName }
}

function replacement(configs: Asked['configs']): Readonly<Record<string, string>> | { readonly code: number; readonly message: string } {
  const result = new Map<string, string>()
  for (const { name, value } of configs) {
    if (value === null) return { code: KafkaError.INVALID_REQUEST, message: `Null value not supported for : ${name}` }
    result.set(name, value.trim())
  }
  return Object.fromEntries(result)
}
