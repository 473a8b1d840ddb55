/**
 * The vocabulary of the classic group protocol: the state of a group, what happens to it (events) and what it asks for (effects).
 * Nothing here does I/O: `group.ts` is the state machine, `shard.ts` performs its effects (HOUSE habit 8).
 */

/** The states of the classic protocol, in Kafka's spelling. `Dead` groups have been deleted or handed over and answer nothing any more. */
export type Phase = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable' | 'Dead'

/** One assignor that a member offers, with its subscription for it; in the order of the member's preference. */
export interface Protocol {
  readonly name: string
  readonly metadata: Uint8Array
}

export interface Member {
  readonly id: string
  /** KIP-345: set for static members, who keep their place over restarts. */
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  protocols: readonly Protocol[]
  assignment: Uint8Array
  /** Has not completed a rebalance yet: such a member may expire even while its JoinGroup waits. */
  isNew: boolean
  /** The JoinGroup that waits for the end of the rebalance. */
  join: JoinTicket | null
  /** The SyncGroup that waits for the assignment. */
  sync: SyncTicket | null
  /** Monotonic time at which the session ends; Infinity while a waiting request stands for the heartbeat. */
  deadlineMs: number
}

export interface Group {
  readonly id: string
  phase: Phase
  previousPhase: Phase
  /** Wall clock of the last change of phase, -1 when unknown (records of old brokers). */
  phaseChangedAtMs: number
  generation: number
  /** Null for a simple group: one that only stores offsets. */
  protocolType: string | null
  /** The assignor of this generation. */
  protocol: string | null
  leader: string | null
  /** In the order of arrival; the first one leads. */
  readonly members: Map<string, Member>
  /** group.instance.id → member id. */
  readonly staticMembers: Map<string, string>
  /** Members who were given an id and have not come back with it yet (KIP-394), with the monotonic time when they are forgotten. */
  readonly pendingMembers: Map<string, number>
  /** Members of this generation whose SyncGroup has not arrived. */
  readonly pendingSyncs: Set<string>
  /** How many members offer a protocol. */
  readonly protocolVotes: Map<string, number>
  /** How many members have a JoinGroup waiting. */
  joinsWaiting: number
  /** Whether somebody joined since the initial delay was last extended. */
  newMemberAdded: boolean
  /** Monotonic end of the join phase; Infinity when there is none. */
  joinDeadlineMs: number
  /** Set during the first rebalance of a group: how long this wait was and how much of the rebalance timeout is left after it. */
  initialDelay: { readonly delayMs: number; readonly remainingMs: number } | null
  /** Monotonic time at which members without SyncGroup are removed; Infinity when all have come. */
  syncDeadlineMs: number
  /** No deadline of the group is earlier than this. Deadlines that move later leave it alone, which is what makes heartbeats cheap. */
  wakeAtMs: number
  /** Union of the members' subscribed topics in this generation; null when unknown (other protocol types, unreadable subscriptions). */
  subscribedTopics: ReadonlySet<string> | null
}

/** Both clocks at the moment of an event: the monotonic one for deadlines, the wall clock for what is written down. */
export interface Now {
  readonly monotonicMs: number
  readonly wallMs: number
}

export interface GroupLimits {
  readonly initialRebalanceDelayMs: number
  readonly maxSize: number
  /** How long the JoinGroup of a new member may wait before it counts as abandoned. Kafka: five minutes, fixed. */
  readonly newMemberJoinTimeoutMs: number
}

/** How the waiting request is answered. The state machine stores and returns tickets and never calls them. */
export type JoinTicket = (reply: JoinReply) => void
export type SyncTicket = (reply: SyncReply) => void

export interface JoinReply {
  readonly errorCode: number
  /** -1 with an error. */
  readonly generation: number
  readonly protocolType: string | null
  readonly protocol: string | null
  /** Empty with an error. */
  readonly leader: string
  /** KIP-814: the restarted leader of an unchanged group must not compute an assignment. */
  readonly skipAssignment: boolean
  readonly memberId: string
  /** For the leader: everybody's subscription; for the others empty. */
  readonly members: readonly JoinedMember[]
}

export interface JoinedMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly metadata: Uint8Array
}

export interface SyncReply {
  readonly errorCode: number
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly assignment: Uint8Array
}

export interface LeavingMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly reason: string | null
}

export interface JoinEvent {
  readonly kind: 'join'
  readonly ticket: JoinTicket
  /** Empty for a member that has no id yet. */
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly Protocol[]
  /** JoinGroup v4 and later (KIP-394). */
  readonly requiresKnownMemberId: boolean
  /** JoinGroup v9 and later (KIP-814). */
  readonly supportsSkippingAssignment: boolean
  /** The id to give if one has to be given. */
  readonly newMemberId: string
  readonly reason: string | null
}

export interface SyncEvent {
  readonly kind: 'sync'
  readonly ticket: SyncTicket
  readonly memberId: string
  readonly instanceId: string | null
  readonly generation: number
  /** Null before SyncGroup v5 (KIP-559): not checked. */
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly assignments: ReadonlyMap<string, Uint8Array>
}

export type GroupEvent =
  | JoinEvent
  | SyncEvent
  | { readonly kind: 'leave'; readonly members: readonly LeavingMember[]; readonly done: (errorCodes: readonly number[]) => void }
  /** The members are to join again, for a reason that lies outside. */
  | { readonly kind: 'rebalance'; readonly why: string }
  /** Time passed: whatever is due happens. */
  | { readonly kind: 'tick' }
  /** A `persist` effect ended; `errorCode` 0 means durable. */
  | { readonly kind: 'persisted'; readonly purpose: PersistPurpose; readonly errorCode: number }
  /** The group has been deleted, handed over or given to the other protocol: everybody who waits is sent away with `errorCode`. */
  | { readonly kind: 'unload'; readonly errorCode: number }

/** Why the group is written down, and what to go on with once it is durable. */
export type PersistPurpose =
  /** The last member left. Nothing waits for it: losing it brings back members whose sessions then end. */
  | { readonly kind: 'empty' }
  /** The leader's assignment: the group becomes stable when it is durable. */
  | { readonly kind: 'assignment'; readonly generation: number; readonly assignments: ReadonlyMap<string, Uint8Array> }
  /** A static member came back under a new id without a rebalance. */
  | {
      readonly kind: 'staticMember'
      readonly generation: number
      readonly instanceId: string
      readonly memberId: string
      readonly ticket: JoinTicket
      readonly supportsSkippingAssignment: boolean
      /** Who led before: what members get to see that cannot skip the assignment. */
      readonly previousLeader: string
      /** The member as it was, for when the write fails. */
      readonly replaced: Member
    }

/** What is written to `__consumer_offsets` about a group (GroupMetadataValue). */
export interface GroupMetadata {
  readonly protocolType: string
  readonly generation: number
  readonly protocol: string | null
  readonly leader: string | null
  readonly phaseChangedAtMs: number
  readonly members: readonly MemberMetadata[]
}

export interface MemberMetadata {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** -1 in records of version 0: the session timeout counts instead. */
  readonly rebalanceTimeoutMs: number
  readonly sessionTimeoutMs: number
  readonly subscription: Uint8Array
  readonly assignment: Uint8Array
}

export type Effect =
  | { readonly kind: 'joinReply'; readonly ticket: JoinTicket; readonly reply: JoinReply }
  | { readonly kind: 'syncReply'; readonly ticket: SyncTicket; readonly reply: SyncReply }
  | { readonly kind: 'leaveReply'; readonly done: (errorCodes: readonly number[]) => void; readonly errorCodes: readonly number[] }
  | { readonly kind: 'persist'; readonly value: GroupMetadata; readonly purpose: PersistPurpose }
  /** Something worth a line in the log. */
  | { readonly kind: 'note'; readonly text: string; readonly memberId?: string; readonly reason?: string }
