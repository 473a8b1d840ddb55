/**
 * The topics that the members of a consumer group subscribe to, read from their subscriptions (ConsumerProtocolSubscription of Kafka's
 * message definitions, version 0 being a prefix of all later ones). The broker needs them for one thing: offsets of topics that a
 * live group reads do not expire and cannot be deleted.
 */
import type { Group } from './types.ts'

/** Null when the group does not speak the consumer protocol or a subscription is unreadable. */
export function subscribedTopicsOf(group: Group): ReadonlySet<string> | null {
  if (group.protocolType !== 'consumer') return null
  const topics = new Set<string>()
  if (group.members.size === 0) return topics
  if (group.protocol === null) return null
  for (const member of group.members.values()) {
    const metadata = member.protocols.find(({ name }) => name === group.protocol)?.metadata
    if (metadata === undefined || !addTopics(topics, metadata)) return null
  }
  return topics
}

/** version int16, then the topics as an array of int32 count and int16-length strings. */
function addTopics(topics: Set<string>, subscription: Uint8Array): boolean {
  const bytes = Buffer.from(subscription.buffer, subscription.byteOffset, subscription.byteLength)
  if (bytes.length < 6) return false
  const count = bytes.readInt32BE(2)
  let at = 6
  for (let i = 0; i < count; i++) {
    if (at + 2 > bytes.length) return false
    const length = bytes.readInt16BE(at)
    at += 2
    if (length < 0 || at + length > bytes.length) return false
    topics.add(bytes.toString('utf8', at, at + length))
    at += length
  }
  return count >= 0
}
