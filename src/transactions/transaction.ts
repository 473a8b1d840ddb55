/**
 * What becomes of a transactional id: state and request in, the next state or an error code out. Nothing here writes, waits or knows the time.
 * The states and the answers are those of Kafka's coordinator, for both of its rules: up to EndTxn v4 a producer keeps its epoch, and from v5
 * on (KIP-890) every end of a transaction gives it a new one, so that what is late never gets into the next transaction.
 */
import { KafkaError } from '../../protocol/errors.ts'

/** The number of a state in records is its position. Nobody stays in the last two: an id that expires is gone, and fencing is an abort. */
export const TRANSACTION_STATES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
] as const

export type TransactionState = (typeof TRANSACTION_STATES)[number]

/** Partitions by topic. */
export type Partitions = ReadonlyMap<string, ReadonlySet<number>>

export interface Transaction {
  readonly transactionalId: string
  readonly producerId: number
  /** The id before the last change; another one where the epochs of that one were used up. */
  readonly previousProducerId: number
  /** The id to come once a transaction that used up the epochs is over; -1 without one. */
  readonly nextProducerId: number
  /** -1 before the first InitProducerId is through. */
  readonly producerEpoch: number
  /** The epoch that the producer may still ask with, because it may not have seen the answer that gave it the next one; -1 without one. */
  readonly lastProducerEpoch: number
  readonly timeoutMs: number
  readonly state: TransactionState
  readonly partitions: Partitions
  /** -1 where there has been no transaction since InitProducerId. */
  readonly startMs: number
  readonly updatedMs: number
  /** The rules that the producer goes by, a level of `transaction.version`: 2 changes the epoch with every transaction. */
  readonly clientVersion: number
}

/** The level of `transaction.version` with which every transaction ends in a new epoch. */
export const EPOCH_BUMP_VERSION = 2
export const NONE = -1

const EPOCH_MAX = 32_767
const NO_PARTITIONS: Partitions = new Map()

/** Who asks. */
export interface Producer {
  readonly producerId: number
  readonly producerEpoch: number
}

export type Decision =
  | { readonly kind: 'refuse'; readonly errorCode: number }
  /** It is so already: what is known of the id is the answer. */
  | { readonly kind: 'done' }
  /** The epochs of the producer id are used up: decide again with a new one. */
  | { readonly kind: 'needsProducerId' }
  /** `next` is to be written. From a state of `isPrepared` on, the transaction is then to be finished. */
  | { readonly kind: 'become'; readonly next: Transaction }

export interface InitRequest {
  readonly transactionalId: string
  readonly timeoutMs: number
  /** The producer's own id and epoch (KIP-360); null without them. */
  readonly expected: Producer | null
}

export interface EndRequest extends Producer {
  readonly transactionalId: string
  readonly committed: boolean
  /** 2 from EndTxn v5 on, else 0. */
  readonly clientVersion: number
}

/** The last epoch is kept back, so that a producer can always be fenced. */
export function isExhausted(epoch: number): boolean {
  return epoch >= EPOCH_MAX - 1
}

export function isPrepared({ state }: Transaction): boolean {
  return state === 'PrepareCommit' || state === 'PrepareAbort'
}

/** Whether an id may be forgotten that nobody uses. */
export function mayExpire({ state }: Transaction): boolean {
  return state === 'Empty' || state === 'CompleteCommit' || state === 'CompleteAbort'
}

function contains({ partitions }: Transaction, topic: string, partition: number): boolean {
  return partitions.get(topic)?.has(partition) === true
}

/**
 * InitProducerId. A transaction that is open is aborted, and its producer fenced: the decision is then that of `fence`, and the client is to ask
 * again. `busy`: an earlier request is not through. `freshId`: a producer id that nobody has, where one was asked for.
 */
export function decideInit(
  current: Transaction | null,
  { transactionalId, timeoutMs, expected }: InitRequest,
  busy: boolean,
  nowMs: number,
  freshId: number | null,
): Decision {
  if (current === null) {
    if (freshId === null) return { kind: 'needsProducerId' }
    return become(fresh(transactionalId, freshId, timeoutMs, nowMs), { producerEpoch: 0 })
  }
  if (busy) return refuse(KafkaError.CONCURRENT_TRANSACTIONS)
  if (expected !== null && !mayAsk(current, expected)) return refuse(KafkaError.PRODUCER_FENCED)
  switch (current.state) {
    case 'PrepareCommit':
    case 'PrepareAbort':
      return refuse(KafkaError.CONCURRENT_TRANSACTIONS)
    case 'Ongoing':
      return fence(current, nowMs)
    case 'Empty':
    case 'CompleteCommit':
    case 'CompleteAbort':
      return initIdle(current, timeoutMs, expected, nowMs, freshId)
    case 'Dead':
    case 'PrepareEpochFence':
      return refuse(KafkaError.UNKNOWN_SERVER_ERROR)
  }
}

/** AddPartitionsToTxn, AddOffsetsToTxn, and Produce and TxnOffsetCommit of producers that leave it to the broker. `done`: all are part of it already. */
export function decideAdd(
  current: Transaction | null,
  producer: Producer,
  added: Partitions,
  clientVersion: number,
  busy: boolean,
  nowMs: number,
): Decision {
  const errorCode = identityError(current, producer)
  if (current === null || errorCode !== KafkaError.NONE) return refuse(errorCode)
  if (busy || isPrepared(current)) return refuse(KafkaError.CONCURRENT_TRANSACTIONS)
  const ongoing = current.state === 'Ongoing'
  if (ongoing && isSubset(added, current.partitions)) return { kind: 'done' }
  return become(current, {
    state: 'Ongoing',
    partitions: union(current.partitions, added),
    startMs: ongoing ? current.startMs : nowMs,
    updatedMs: nowMs,
    clientVersion,
  })
}

/** Whether a partition is part of the transaction that a producer writes in. An error code. */
export function verify(current: Transaction | null, producer: Producer, topic: string, partition: number): number {
  const errorCode = identityError(current, producer)
  if (current === null || errorCode !== KafkaError.NONE) return errorCode
  if (isPrepared(current)) return KafkaError.CONCURRENT_TRANSACTIONS
  return contains(current, topic, partition) ? KafkaError.NONE : KafkaError.TRANSACTION_ABORTABLE
}

/** EndTxn. */
export function decideEnd(current: Transaction | null, request: EndRequest, busy: boolean, nowMs: number, freshId: number | null): Decision {
  if (current === null) return refuse(KafkaError.INVALID_PRODUCER_ID_MAPPING)
  return request.clientVersion >= EPOCH_BUMP_VERSION
    ? endWithBump(current, request, busy, nowMs, freshId)
    : endKeepingEpoch(current, request, busy, nowMs)
}

/**
 * Aborts an open transaction for others than its producer: a new producer of the id, or the clock. The epoch goes up, whatever rules the producer
 * goes by, so that it cannot go on.
 */
export function fence(current: Transaction, nowMs: number): Decision {
  return become(current, {
    state: 'PrepareAbort',
    // At its maximum already only if a fenced producer is fenced again; then nobody has it.
    producerEpoch: Math.min(current.producerEpoch + 1, EPOCH_MAX),
    lastProducerEpoch: current.producerEpoch,
    updatedMs: nowMs,
    clientVersion: EPOCH_BUMP_VERSION,
  })
}

/** The end of a transaction whose markers are written. */
export function completed(current: Transaction, nowMs: number): Transaction {
  const { state, nextProducerId, producerId, producerEpoch } = current
  const rotates = nextProducerId !== NONE
  return {
    ...current,
    state: state === 'PrepareCommit' ? 'CompleteCommit' : 'CompleteAbort',
    producerId: rotates ? nextProducerId : producerId,
    producerEpoch: rotates ? 0 : producerEpoch,
    previousProducerId: producerId,
    nextProducerId: NONE,
    partitions: NO_PARTITIONS,
    updatedMs: nowMs,
  }
}

/** A new id, or that of an earlier answer which the client has not seen. */
function initIdle(current: Transaction, timeoutMs: number, expected: Producer | null, nowMs: number, freshId: number | null): Decision {
  const { producerEpoch, lastProducerEpoch } = current
  const renewed = { state: 'Empty', timeoutMs, partitions: NO_PARTITIONS, startMs: NONE, updatedMs: nowMs } as const
  const isCurrent = expected === null || expected.producerEpoch === producerEpoch
  const isRetry = !isCurrent && expected.producerEpoch === lastProducerEpoch
  if (!isCurrent && !isRetry) return refuse(KafkaError.PRODUCER_FENCED)
  if (isRetry && producerEpoch < EPOCH_MAX) return become(current, renewed)
  if (!isExhausted(producerEpoch)) {
    return become(current, { ...renewed, producerEpoch: producerEpoch + 1, lastProducerEpoch: expected === null ? NONE : producerEpoch })
  }
  if (freshId === null) return { kind: 'needsProducerId' }
  return become(current, {
    ...renewed,
    producerId: freshId,
    producerEpoch: 0,
    lastProducerEpoch: expected === null ? NONE : expected.producerEpoch,
  })
}

/** Up to EndTxn v4: an end that is there already is the answer to a retry, and to nothing else. */
function endKeepingEpoch(current: Transaction, request: EndRequest, busy: boolean, nowMs: number): Decision {
  const errorCode = identityError(current, request)
  if (errorCode !== KafkaError.NONE) return refuse(errorCode)
  if (busy) return refuse(KafkaError.CONCURRENT_TRANSACTIONS)
  const { committed, clientVersion } = request
  switch (current.state) {
    case 'Ongoing':
      return become(current, { state: committed ? 'PrepareCommit' : 'PrepareAbort', updatedMs: nowMs, clientVersion })
    case 'CompleteCommit':
    case 'CompleteAbort':
      return committed === (current.state === 'CompleteCommit') ? { kind: 'done' } : refuse(KafkaError.INVALID_TXN_STATE)
    case 'PrepareCommit':
    case 'PrepareAbort':
      return refuse(committed === (current.state === 'PrepareCommit') ? KafkaError.CONCURRENT_TRANSACTIONS : KafkaError.INVALID_TXN_STATE)
    case 'Empty':
      return refuse(KafkaError.INVALID_TXN_STATE)
    case 'Dead':
    case 'PrepareEpochFence':
      return refuse(KafkaError.UNKNOWN_SERVER_ERROR)
  }
}

/**
 * EndTxn from v5 on. The epoch tells a retry, which asks with the epoch before, from the end of the next transaction; that one may be aborted
 * without ever having begun here, since its first write may not have arrived.
 */
function endWithBump(current: Transaction, request: EndRequest, busy: boolean, nowMs: number, freshId: number | null): Decision {
  const { committed } = request
  const { producerEpoch } = current
  const afterOverflow =
    current.previousProducerId === request.producerId && request.producerEpoch === EPOCH_MAX - 1 && producerEpoch === 0
  if (current.producerId !== request.producerId && !afterOverflow) return refuse(KafkaError.INVALID_PRODUCER_ID_MAPPING)
  const isRetry = producerEpoch === request.producerEpoch + 1 || afterOverflow
  const isCurrent = producerEpoch === request.producerEpoch
  const fenced = refuse(KafkaError.PRODUCER_FENCED)
  switch (current.state) {
    case 'Ongoing':
      if (!isCurrent) return fenced
      return busy ? refuse(KafkaError.CONCURRENT_TRANSACTIONS) : prepareWithBump(current, committed, nowMs, freshId)
    case 'Empty':
      if (!isCurrent) return fenced
      if (busy) return refuse(KafkaError.CONCURRENT_TRANSACTIONS)
      return committed ? refuse(KafkaError.INVALID_TXN_STATE) : prepareWithBump(current, committed, nowMs, freshId)
    case 'CompleteCommit':
    case 'CompleteAbort':
      if (!isRetry && !isCurrent) return fenced
      if (busy) return refuse(KafkaError.CONCURRENT_TRANSACTIONS)
      if (isRetry) return committed === (current.state === 'CompleteCommit') ? { kind: 'done' } : refuse(KafkaError.INVALID_TXN_STATE)
      return committed ? refuse(KafkaError.INVALID_TXN_STATE) : prepareWithBump(current, committed, nowMs, freshId)
    case 'PrepareCommit':
    case 'PrepareAbort':
      if (!isRetry) return fenced
      return refuse(committed === (current.state === 'PrepareCommit') ? KafkaError.CONCURRENT_TRANSACTIONS : KafkaError.INVALID_TXN_STATE)
    case 'Dead':
    case 'PrepareEpochFence':
      return refuse(KafkaError.UNKNOWN_SERVER_ERROR)
  }
}

function prepareWithBump(current: Transaction, committed: boolean, nowMs: number, freshId: number | null): Decision {
  const { producerEpoch, state, startMs } = current
  if (isExhausted(producerEpoch) && freshId === null) return { kind: 'needsProducerId' }
  return become(current, {
    state: committed ? 'PrepareCommit' : 'PrepareAbort',
    producerEpoch: Math.min(producerEpoch + 1, EPOCH_MAX),
    lastProducerEpoch: producerEpoch,
    nextProducerId: isExhausted(producerEpoch) ? (freshId ?? NONE) : NONE,
    startMs: state === 'Ongoing' ? startMs : nowMs,
    updatedMs: nowMs,
    clientVersion: EPOCH_BUMP_VERSION,
  })
}

/** Whether a producer that says who it is may go on: it has the id, or had it until its epochs were used up. */
function mayAsk({ producerEpoch, producerId, previousProducerId }: Transaction, expected: Producer): boolean {
  return (
    producerEpoch === NONE ||
    expected.producerId === producerId ||
    (expected.producerId === previousProducerId && isExhausted(expected.producerEpoch))
  )
}

function identityError(current: Transaction | null, producer: Producer): number {
  if (current === null || current.producerId !== producer.producerId) return KafkaError.INVALID_PRODUCER_ID_MAPPING
  return current.producerEpoch === producer.producerEpoch ? KafkaError.NONE : KafkaError.PRODUCER_FENCED
}

function fresh(transactionalId: string, producerId: number, timeoutMs: number, nowMs: number): Transaction {
  return {
    transactionalId,
    producerId,
    previousProducerId: NONE,
    nextProducerId: NONE,
    producerEpoch: NONE,
    lastProducerEpoch: NONE,
    timeoutMs,
    state: 'Empty',
    partitions: NO_PARTITIONS,
    startMs: NONE,
    updatedMs: nowMs,
    clientVersion: 0,
  }
}

function become(current: Transaction, change: Partial<Transaction>): Decision & { kind: 'become' } {
  return { kind: 'become', next: { ...current, previousProducerId: current.producerId, ...change } }
}

function refuse(errorCode: number): Decision & { kind: 'refuse' } {
  return { kind: 'refuse', errorCode }
}

function isSubset(part: Partitions, whole: Partitions): boolean {
  for (const [topic, partitions] of part) {
    const known = whole.get(topic)
    if (known === undefined) return false
    for (const partition of partitions) if (!known.has(partition)) return false
  }
  return true
}

function union(before: Partitions, added: Partitions): Partitions {
  const all = new Map(before)
  for (const [topic, partitions] of added) all.set(topic, new Set([...(before.get(topic) ?? []), ...partitions]))
  return all
}
