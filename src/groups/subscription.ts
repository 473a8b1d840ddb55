/**
 * The topics that the members of a classic group of consumers subscribe to. The broker needs them for one thing: offsets of topics that a
 * live group reads do not expire and cannot be deleted.
 */
import { CONSUMER_PROTOCOL_TYPE, subscribedTopics } from './consumer-protocol.ts'
import type { Group } from './types.ts'

/** Null when the group does not speak the consumer protocol or a subscription is unreadable. */
export function subscribedTopicsOf(group: Group): ReadonlySet<string> | null {
  if (group.protocolType !== CONSUMER_PROTOCOL_TYPE) return null
  const topics = new Set<string>()
  if (group.members.size === 0) return topics
  if (group.protocol === null) return null
  for (const member of group.members.values()) {
    const metadata = member.protocols.find(({ name }) => name === group.protocol)?.metadata
    if (metadata === undefined) return null
    try {
      for (const topic of subscribedTopics(metadata)) topics.add(topic)
    } catch {
      return null
    }
  }
  return topics
}
