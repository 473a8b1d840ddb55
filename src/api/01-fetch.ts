// Fetch (1), v4–18.
// Serves stored batches as they are; a batch that holds the asked offset is returned whole, and the first batch of an answer is returned
// even where it exceeds the limits (KIP-74). Waits for min_bytes up to max_wait_ms, woken by the partitions that moved. v7 incremental
// sessions (KIP-227), v9 leader epochs (KIP-320), v12 diverging epochs, v13 topic ids. A store that does not answer is
// KAFKA_STORAGE_ERROR, which clients retry. Not done: rack-aware replicas (KIP-392; there is one broker), replica fetches.
import { KafkaError } from '../../protocol/errors.ts'
import { Fetch } from '../../protocol/messages/01-fetch.ts'
import type { FetchRequest, FetchResponse } from '../../protocol/messages/01-fetch.ts'
import { releaseAll } from '../../storage/partition/batch-memory.ts'
import type { BatchMemory } from '../../storage/partition/batch-memory.ts'
import { nextSessionEpoch, sessionKey } from '../cluster/fetch-sessions.ts'
import type { FetchSession } from '../cluster/fetch-sessions.ts'
import { PartitionFetch } from '../cluster/partition-fetch.ts'
import type { Isolation, PartitionResult } from '../cluster/partition-fetch.ts'
import type { Handler, RequestContext } from './handler.ts'

type TopicResult = FetchResponse['responses'][number]

/** First version with an error for the whole answer. */
const ERROR_SINCE = 7
const TOPIC_IDS_SINCE = 13
const FINAL_EPOCH = -1
const INITIAL_EPOCH = 0
/** A read from the store that takes longer is left to finish for the next fetch; this one answers without it. */
const READ_WAIT_MIN_MS = 10_000
/** The same where other partitions have given as much as the client waits for: a slow store does not hold up what is in memory. */
const READ_WAIT_WITH_DATA_MS = 500
/** Partitions that one fetch reads from the store at once, and bytes from the store that make its answer large enough (P8). */
const STORE_READS_AT_ONCE = 4
const STORE_BYTES_ENOUGH = 4 * 1024 * 1024

export const fetch: Handler<FetchRequest, FetchResponse> = {
  api: Fetch,
  versions: [4, 18],
  oneAtATime: true,

  handle(request, context) {
    const opened = openSession(request, context)
    if (opened.kind === 'error') return { errorCode: opened.errorCode, sessionId: 0, responses: [] }
    const { reads, session, incremental } = opened
    const maxBytes = Math.max(0, Math.min(request.maxBytes, context.broker.config['fetch.max.bytes']))
    const finish = (): FetchResponse => respond(reads, session, incremental, context)
    const give = (): FetchResponse | Promise<FetchResponse> => {
      begin(reads, request.isolationLevel === 1 ? 'readCommitted' : 'readUncommitted', context)
      // Nobody is left to read for: the connection closes after the answers that it owes.
      if (context.signal.aborted) return finish()
      const cold = readMemory(reads, maxBytes)
      if (cold === null && isSatisfied(reads, request, maxBytes)) return finish()
      return waitFor(reads, cold, request, maxBytes, context).then(finish)
    }
    return session === null ? give() : inSession(session, reads, give)
  },

  onError(request, errorCode, { apiVersion }) {
    if (apiVersion >= ERROR_SINCE) return { errorCode, sessionId: 0, responses: [] }
    const failed = ({ topic, topicId, partitions }: FetchRequest['topics'][number]): TopicResult => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition }) => ({ partitionIndex: partition, errorCode, highWatermark: -1, abortedTransactions: null })),
    })
    return { responses: request.topics.map(failed) }
  },
}

// ---- reading and waiting --------------------------------------------------------------------------------------------------------

/**
 * Reads from memory, in order and within the limit of the answer, what is not read yet, and again from its offset on what moved since: an
 * answer holds all that is there when it is sent. Gives what the store has to be asked for, null where there is nothing of that kind.
 */
function readMemory(reads: readonly PartitionFetch[], maxBytes: number): PartitionFetch[] | null {
  let total = 0
  for (const read of reads) {
    read.forgetStale()
    total += read.bytes
  }
  const cold: PartitionFetch[] = []
  for (const read of reads) {
    if (read.bytes > 0 || read.finished || read.isAtEnd) continue
    if (total >= maxBytes && total > 0) break
    if (read.isCold) {
      cold.push(read)
      continue
    }
    const outcome = read.read(maxBytes - total, total === 0)
    if (outcome === null || outcome instanceof Promise) continue
    read.accept(outcome)
    total += read.bytes
  }
  return cold.length === 0 ? null : cold
}

/** Reads what `readMemory` left, a few partitions at a time, until the answer is large enough or the signal says that it is sent without. */
async function readStore(cold: readonly PartitionFetch[], reads: readonly PartitionFetch[], maxBytes: number, context: RequestContext, over: AbortSignal): Promise<void> {
  const leave = await context.broker.storeReads.enter(over)
  if (leave === null) return
  try {
    let total = 0
    for (const read of reads) total += read.bytes
    let fromStore = 0
    for (let next = 0; next < cold.length; next += STORE_READS_AT_ONCE) {
      if (total > 0 && (total >= maxBytes || fromStore >= STORE_BYTES_ENOUGH)) return
      const group = cold.slice(next, next + STORE_READS_AT_ONCE)
      // They share what is enough, so that an answer to a client that may never take it stays small.
      const share = Math.min(maxBytes - total, Math.ceil(STORE_BYTES_ENOUGH / group.length))
      const outcomes = await Promise.all(group.map(async (read) => read.read(share, total === 0)))
      for (const [index, outcome] of outcomes.entries()) {
        if (over.aborted) return
        // The limit holds for the whole; what does not fit is read again, from the cache, by the next fetch.
        if (outcome === null) continue
        if (outcome.kind === 'records' && total > 0 && total + outcome.bytes > maxBytes) {
          releaseAll(outcome.held ?? [])
          continue
        }
        const read = group[index]!
        read.accept(outcome)
        total += read.bytes
        fromStore += read.bytes
      }
    }
  } finally {
    leave()
  }
}

/** As `readStore`, for so long and no longer. What is under way then goes on, for the next fetch. */
async function readStoreFor(ms: number, cold: readonly PartitionFetch[], reads: readonly PartitionFetch[], maxBytes: number, context: RequestContext): Promise<void> {
  const over = new AbortController()
  const end = (): void => over.abort()
  const timer = context.broker.env.clock.schedule(ms, end)
  context.signal.addEventListener('abort', end, { once: true })
  const ended = new Promise<void>((resolve) => over.signal.addEventListener('abort', () => resolve(), { once: true }))
  try {
    await Promise.race([readStore(cold, reads, maxBytes, context, over.signal), ended])
  } finally {
    timer.cancel()
    context.signal.removeEventListener('abort', end)
    over.abort()
  }
}

function isSatisfied(reads: readonly PartitionFetch[], { maxWaitMs, minBytes }: FetchRequest, maxBytes: number): boolean {
  if (maxWaitMs <= 0 || reads.length === 0) return true
  let bytes = 0
  for (const read of reads) {
    if (read.finished) return true
    bytes += read.bytes
  }
  return bytes >= Math.min(minBytes, maxBytes)
}

/** Waits until the answer is worth sending: woken by partitions that moved, ended by the clock or the connection. */
async function waitFor(
  reads: readonly PartitionFetch[],
  firstCold: readonly PartitionFetch[] | null,
  request: FetchRequest,
  maxBytes: number,
  context: RequestContext,
): Promise<void> {
  const { clock } = context.broker.env
  const { signal } = context
  const startedMs = clock.monotonic()
  let wake: (() => void) | null = null
  let moved = false
  // From before the first read ends: what moves while the store is read must not be waited for once more.
  const onMoved = (): void => {
    moved = true
    wake?.()
  }
  for (const read of reads) read.watch(onMoved)
  const giveUp = (): void => wake?.()
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    const waitMs = (leftMs: number): number => {
      // A client that does not wait for more records still waits for those that are there.
      const hasAnswer = reads.some((read) => read.finished || read.bytes > 0)
      return hasAnswer && isSatisfied(reads, request, maxBytes) ? READ_WAIT_WITH_DATA_MS : Math.max(leftMs, READ_WAIT_MIN_MS)
    }
    if (firstCold !== null) await readStoreFor(waitMs(request.maxWaitMs), firstCold, reads, maxBytes, context)
    while (!signal.aborted && !isSatisfied(reads, request, maxBytes)) {
      const leftMs = startedMs + request.maxWaitMs - clock.monotonic()
      if (leftMs <= 0) return
      if (!moved) {
        await new Promise<void>((resolve) => {
          const timer = clock.schedule(leftMs, resolve)
          wake = () => {
            timer.cancel()
            resolve()
          }
        })
        wake = null
      }
      if (!moved) return
      moved = false
      const cold = readMemory(reads, maxBytes)
      if (cold !== null) await readStoreFor(waitMs(leftMs), cold, reads, maxBytes, context)
    }
  } finally {
    // The signal lives as long as the connection: what is left on it would pile up with every fetch.
    signal.removeEventListener('abort', giveUp)
    for (const read of reads) read.unwatch()
  }
}

// ---- sessions and answers -------------------------------------------------------------------------------------------------------

type Opened =
  | { readonly kind: 'error'; readonly errorCode: number }
  | { readonly kind: 'open'; readonly reads: readonly PartitionFetch[]; readonly session: FetchSession | null; readonly incremental: boolean }

function openSession(request: FetchRequest, context: RequestContext): Opened {
  const { fetchSessions } = context.broker
  const usesTopicIds = context.apiVersion >= TOPIC_IDS_SINCE
  const { sessionId, sessionEpoch } = request
  if (sessionEpoch === FINAL_EPOCH || sessionEpoch === INITIAL_EPOCH) {
    if (sessionId !== 0) fetchSessions.remove(sessionId)
    const partitions = new Map<string, PartitionFetch>()
    addPartitions(partitions, request, usesTopicIds)
    const session = sessionEpoch === INITIAL_EPOCH ? fetchSessions.create(usesTopicIds, partitions) : null
    return { kind: 'open', reads: [...partitions.values()], session, incremental: false }
  }
  const session = fetchSessions.get(sessionId)
  if (session === null) return { kind: 'error', errorCode: KafkaError.FETCH_SESSION_ID_NOT_FOUND }
  if (session.usesTopicIds !== usesTopicIds) return { kind: 'error', errorCode: KafkaError.FETCH_SESSION_TOPIC_ID_ERROR }
  // A session answers one fetch after the other; a client that asks on a second connection has lost the first one, and begins anew.
  if (sessionEpoch !== session.epoch || session.busy) return { kind: 'error', errorCode: KafkaError.INVALID_FETCH_SESSION_EPOCH }
  session.epoch = nextSessionEpoch(session.epoch)
  for (const topic of request.forgottenTopicsData) {
    for (const partition of topic.partitions) session.partitions.delete(sessionKey(usesTopicIds ? topic.topicId : topic.topic, partition))
  }
  addPartitions(session.partitions, request, usesTopicIds)
  if (session.partitions.size > 0) return { kind: 'open', reads: [...session.partitions.values()], session, incremental: true }
  // Forgetting the last partition ends the session.
  fetchSessions.remove(session.id)
  return { kind: 'open', reads: [], session: null, incremental: false }
}

function addPartitions(partitions: Map<string, PartitionFetch>, request: FetchRequest, usesTopicIds: boolean): void {
  for (const topic of request.topics) {
    for (const asked of topic.partitions) {
      const key = sessionKey(usesTopicIds ? topic.topicId : topic.topic, asked.partition)
      const known = partitions.get(key)
      if (known === undefined) partitions.set(key, new PartitionFetch(key, topic.topicId, topic.topic, asked))
      else known.ask(asked)
    }
  }
}

/** Finds the partitions as they are now. */
function begin(reads: readonly PartitionFetch[], isolation: Isolation, context: RequestContext): void {
  const { topics } = context.broker
  const byId = context.apiVersion >= TOPIC_IDS_SINCE
  let name: string | null = null
  let topic: ReturnType<typeof topics.byId> = null
  for (const read of reads) {
    // Partitions of a topic usually come together.
    const wanted = byId ? read.topicId : read.topic
    if (wanted !== name) {
      name = wanted
      topic = byId ? topics.byId(wanted) : topics.byName(wanted)
    }
    const log = topic === null ? null : topics.partition(topic.id, read.partition)
    read.begin(log, topic === null && byId ? KafkaError.UNKNOWN_TOPIC_ID : KafkaError.UNKNOWN_TOPIC_OR_PARTITION, isolation)
  }
}

/** Nobody else uses the partitions of the session meanwhile, and nothing is left in them if something goes wrong. */
function inSession(
  session: FetchSession, reads: readonly PartitionFetch[], give: () => FetchResponse | Promise<FetchResponse>,
): FetchResponse | Promise<FetchResponse> {
  const failed = (error: unknown): never => {
    for (const read of reads) read.forget()
    throw error
  }
  session.busy = true
  try {
    const answer = give()
    if (!(answer instanceof Promise)) {
      session.busy = false
      return answer
    }
    return answer.catch(failed).finally(() => {
      session.busy = false
    })
  } catch (error) {
    session.busy = false
    return failed(error)
  }
}

function respond(reads: readonly PartitionFetch[], session: FetchSession | null, incremental: boolean, context: RequestContext): FetchResponse {
  const { metrics } = context.broker
  const responses: TopicResult[] = []
  let last: TopicResult | null = null
  const held: BatchMemory[] = []
  for (const read of reads) {
    const { bytes, source } = read
    const result = read.take(incremental, held)
    if (result === null) continue
    const { topic, topicId } = read
    if (last === null || last.topic !== topic || last.topicId !== topicId) {
      last = { topic, topicId, partitions: [] }
      responses.push(last)
    }
    ;(last.partitions as PartitionResult[]).push(result)
    if (bytes === 0) continue
    // A partition that had data goes to the end, so that a busy one does not starve the others of a limited answer.
    if (session?.partitions.delete(read.key) === true) session.partitions.set(read.key, read)
    metrics.fetched(topic, bytes)
    metrics.read(source, bytes)
  }
  if (held.length > 0) context.whenSent(() => releaseAll(held))
  return { errorCode: 0, sessionId: session?.id ?? 0, responses }
}
