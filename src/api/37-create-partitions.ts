// CreatePartitions (37), v0–3 (KIP-195).
// The count is the new total and must be an increase; manual assignments may only name this broker. The partitions are durable and usable
// when the answer is sent. Not done: controller mutation quotas (KIP-599).
import { KafkaError } from '../../protocol/errors.ts'
import { CreatePartitions } from '../../protocol/messages/37-create-partitions.ts'
import type { CreatePartitionsRequest, CreatePartitionsResponse } from '../../protocol/messages/37-create-partitions.ts'
import type { Handler } from './handler.ts'

export const createPartitions: Handler<CreatePartitionsRequest, CreatePartitionsResponse> = {
  api: CreatePartitions,
  versions: [0, 3],

  async handle(request, context) {
    const counts = new Map<string, number>()
    for (const { name } of request.topics) counts.set(name, (counts.get(name) ?? 0) + 1)
    const unique = request.topics.filter(({ name }) => counts.get(name) === 1)
    const results = await Promise.all(
      unique.map(async ({ name, count, assignments }) => {
        const brokers = assignments === null ? null : assignments.map(({ brokerIds }) => brokerIds)
        const outcome = await context.broker.topics.addPartitions(name, count, brokers, { validateOnly: request.validateOnly, timeoutMs: request.timeoutMs })
        return outcome.kind === 'ok' ? { name } : { name, errorCode: outcome.code, errorMessage: outcome.message }
      }),
    )
    const duplicates = [...counts].filter(([, count]) => count > 1)
    return {
      results: [...results, ...duplicates.map(([name]) => ({ name, errorCode: KafkaError.INVALID_REQUEST, errorMessage: 'Duplicate topic name.' }))],
    }
  },

  onError: (request, errorCode) => ({ results: request.topics.map(({ name }) => ({ name, errorCode })) }),
}
