/** Members of the consumer protocol that talk to a coordinator in memory. */
import type { HeartbeatReply, HeartbeatRequest } from '../../../src/groups/consumer/types.ts'
import type { World } from '../world.ts'

export type Beat = Partial<Omit<HeartbeatRequest, 'groupId' | 'memberId'>>

export function beat(world: World, groupId: string, memberId: string, options: Beat = {}, version = 1): Promise<HeartbeatReply> {
  return world.groups.consumerHeartbeat(
    {
      groupId,
      memberId,
      memberEpoch: 0,
      instanceId: null,
      rackId: null,
      rebalanceTimeoutMs: -1,
      topicNames: null,
      topicRegex: null,
      assignor: null,
      owned: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      ...options,
    },
    version,
  )
}

export function join(world: World, groupId: string, memberId: string, options: Beat = {}, version = 1): Promise<HeartbeatReply> {
  const topicNames = options.topicRegex === undefined ? ['orders'] : null
  return beat(world, groupId, memberId, { memberEpoch: 0, rebalanceTimeoutMs: 60_000, topicNames, owned: [], ...options }, version)
}

/** `topicId:partition …` in order. */
export function text(assignment: HeartbeatReply['assignment']): string | null {
  if (assignment === null) return null
  return Array.from(assignment, ([topicId, partitions]) => partitions.map((partition) => `${topicId.slice(0, 6)}:${partition}`))
    .flat()
    .toSorted()
    .join(' ')
}

export function ownedOf(assignment: HeartbeatReply['assignment']): NonNullable<HeartbeatRequest['owned']> {
  return Array.from(assignment ?? [], ([topicId, partitions]) => ({ topicId, partitions }))
}
