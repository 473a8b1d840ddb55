/** Bit fields of KIP-430: bit n stands for AclOperation n. Without an authorizer everybody may do everything that a resource knows. */
const READ = 3
const WRITE = 4
const CREATE = 5
const DELETE = 6
const ALTER = 7
const DESCRIBE = 8
const CLUSTER_ACTION = 9
const DESCRIBE_CONFIGS = 10
const ALTER_CONFIGS = 11
const IDEMPOTENT_WRITE = 12

function bits(...operations: readonly number[]): number {
  return operations.reduce((field, operation) => field | (1 << operation), 0)
}

export const topicOperations = bits(READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS)
export const allOperations = {
  topic: topicOperations,
  group: bits(READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS),
  cluster: bits(CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE),
} as const
