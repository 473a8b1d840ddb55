/**
 * Group commit (DESIGN §4): batches of all partitions go into one open segment, segments become objects 0, 1, 2, … of the lane, and
 * a segment is committed only when it and all before it are durable. Keeps P1 (nothing is called durable before its object is on the
 * store), P3 (an object of somebody else at our next number ends the lane: nothing at or after it is ever called durable) and P8.
 *
 * When a segment is written:
 * - nothing in flight: at the end of the turn of the event loop, so that what one poll of the sockets brought shares a PUT;
 * - something in flight: when it is full, or `lingerMs` after its first batch, while fewer than `inflightMax` PUTs run.
 *
 * Segments are started in the order of their numbers but may finish in any. A segment that was given a number is written until the
 * store answers, with the same bytes: the number can never hold anything else. A late reply needs no bound on its age here. A number
 * that holds our bytes held them before a successor's fence could be placed after it, so the successor has read them, and to call them
 * durable is right however late; a number that does not hold them, cannot be committed, because the fence is at or below it.
 */
import type { Env, Timer } from '../env.ts'
import { backoffMs, createOnce } from '../log/create-once.ts'
import type { CreateOnceOutcome, CreateOnceRetry } from '../log/create-once.ts'
import type { ObjectStore } from '../objects/object-store.ts'
import { laneSegmentKey } from '../paths.ts'
import type { LogVersion } from '../types.ts'
import {
  controlPayloadBytesMax, segmentControlBytesMax, segmentControlsMax, segmentObjectBytesMax, segmentRowsMax,
} from './limits.ts'
import { commitIdOf, controlRowBytes, encodeSegment, segmentHeaderBytes, segmentRowBytes } from './segment.ts'
import type { PlacedControl } from './segment.ts'
import type {
  LaneControl, LaneControlCallbacks, LaneEntry, LaneFailure, LaneId, LaneLog, LaneObserver, LaneOptions,
} from './types.ts'

/** The longest that an entry may be, so that its segment stays addressable. */
export const laneEntryBytesMax = segmentObjectBytesMax >>> 1
/** A denied or broken store is asked again this seldom. */
const refusedDelayMs = 1000
const refusedDelayMaxMs = 10_000
const troubleLogMs = 10_000

export interface LaneWriterConfig {
  readonly store: ObjectStore
  readonly env: Pick<Env, 'clock' | 'random' | 'uuid'>
  readonly lane: LaneId
  /** Number of the first segment: 0 in a new lane. */
  readonly firstSeq: LogVersion
  readonly options: LaneOptions
  readonly observer?: LaneObserver
  readonly log?: LaneLog
  /**
   * Called once, as soon as a foreign object was found at `seq`: this process can never commit again. `append` already refuses, and the
   * entries that are lost are told after it; those below `seq` may still become durable.
   */
  readonly onFenced?: (seq: LogVersion) => void
}

/** `closing` accepts nothing more and waits for what it has; `fenced` and `closed` are for ever. */
export type LaneState = 'open' | 'closing' | 'fenced' | 'closed'

export class LaneWriter {
  readonly lane: LaneId
  readonly #store: ObjectStore
  readonly #env: Pick<Env, 'clock' | 'random' | 'uuid'>
  readonly #observer: LaneObserver | undefined
  readonly #log: LaneLog
  readonly #onFenced: ((seq: LogVersion) => void) | undefined
  #options: LaneOptions
  #state: LaneState = 'open'
  /** All that is accepted and not settled, by number; the last one is open unless it is sealed. */
  readonly #segments: Segment[] = []
  #nextSeq: LogVersion
  #committedSeq: LogVersion
  #inflight = 0
  #pendingBytes = 0
  /** Numbers from here on are not ours any more. */
  #fencedSeq = Infinity
  #abandoned = false
  #timer: Timer | null = null
  #timerIsPrompt = false
  #settling = false
  readonly #roomWaiters: (() => void)[] = []
  readonly #flushWaiters: { readonly seq: LogVersion; readonly done: () => void }[] = []
  #troubleLoggedAtMs = -Infinity
  #troubleUnlogged = 0

  constructor(config: LaneWriterConfig) {
    this.lane = config.lane
    this.#store = config.store
    this.#env = config.env
    this.#observer = config.observer
    this.#log = config.log ?? (() => undefined)
    this.#onFenced = config.onFenced
    this.#options = config.options
    this.#nextSeq = config.firstSeq
    this.#committedSeq = config.firstSeq
  }

  get state(): LaneState {
    return this.#state
  }

  /** Number of the segment that the next entry may get at the earliest. */
  get nextSeq(): LogVersion {
    const last = this.#segments.at(-1)
    return last !== undefined && last.phase === 'open' ? last.seq : this.#nextSeq
  }

  /** All segments below it are committed. */
  get committedSeq(): LogVersion {
    return this.#committedSeq
  }

  /** Bytes accepted and not yet durable or failed, index rows included. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** PUTs that run now. */
  get inflight(): number {
    return this.#inflight
  }

  /** False while `bufferBytesMax` are waiting: whoever has more should use `whenRoom`. `append` still takes it (P8 is the caller's part). */
  get hasRoom(): boolean {
    return this.#pendingBytes < this.#options.bufferBytesMax
  }

  /** How long the oldest PUT has been running, in milliseconds; 0 when none is. Grows while the store is gone. */
  get oldestInflightMs(): number {
    const first = this.#segments[0]
    return first === undefined || first.phase !== 'writing' ? 0 : this.#env.clock.monotonic() - first.startedAtMs
  }

  /**
   * Takes the entry, or says false when the lane is over (fenced, closing, closed) and will never call it. Exactly one of the entry's
   * methods is called later, never during this call, in the order of appends.
   * Throws RangeError for an entry that the segment format cannot hold.
   */
  append(entry: LaneEntry): boolean {
    if (this.#state !== 'open') return false
    const bytes = entry.bytes.byteLength
    if (bytes > laneEntryBytesMax || entry.topicId.length !== 22 || !Number.isSafeInteger(entry.lastOffset)) {
      throw new RangeError(`a lane entry of ${bytes} bytes, topic ${entry.topicId}, up to offset ${entry.lastOffset}`)
    }
    const { segmentBytesMax } = this.#options
    let segment = this.#open()
    if (segment.batchBytes > 0 && (segment.batchBytes + bytes > segmentBytesMax || segment.entries.length >= segmentRowsMax)) {
      this.#seal(segment)
      segment = this.#open()
    }
    segment.entries.push(entry)
    segment.batchBytes += bytes
    this.#account(segment, bytes + segmentRowBytes)
    if (segment.batchBytes >= segmentBytesMax) this.#seal(segment)
    return true
  }

  /** As `append`, for state that is no batch. Throws RangeError for a payload beyond 1 MiB. */
  appendControl(control: LaneControl, callbacks: LaneControlCallbacks): boolean {
    if (this.#state !== 'open') return false
    if (control.payload.byteLength > controlPayloadBytesMax || control.topicId.length !== 22) {
      throw new RangeError(`a control row of ${control.payload.byteLength} bytes`)
    }
    const bytes = controlRowBytes(control)
    let segment = this.#open()
    if (segment.controlBytes + bytes > segmentControlBytesMax || segment.controls.length >= segmentControlsMax) {
      this.#seal(segment)
      segment = this.#open()
    }
    segment.controls.push({ ...control, rowsBefore: segment.entries.length, callbacks })
    segment.controlBytes += bytes
    this.#account(segment, bytes)
    return true
  }

  /** Calls back once there is room, or the lane is over; at once where that is so already. First come, first served. */
  whenRoom(callback: () => void): void {
    this.#roomWaiters.push(callback)
    this.#wakeRoomWaiters()
  }

  setOptions(options: LaneOptions): void {
    this.#options = options
    this.#timer?.cancel()
    this.#timer = null
    this.#pump()
    this.#wakeRoomWaiters()
  }

  /** Writes what is open without lingering. Resolves when all that was appended before is durable or failed; never rejects. */
  async flush(): Promise<void> {
    const last = this.#segments.at(-1)
    if (last === undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#flushWaiters.push({ seq: last.seq, done: resolve })
    this.#seal(last)
    return promise
  }

  /**
   * Accepts nothing more and resolves when all that was accepted is durable or failed; never rejects. With a broken store that can take
   * for ever: `abandon` ends it.
   */
  async close(): Promise<void> {
    if (this.#state === 'open') this.#state = 'closing'
    this.#wakeRoomWaiters()
    await this.flush()
    if (this.#state === 'closing') this.#state = 'closed'
  }

  /**
   * Gives up at once: what is not known to be durable fails, with 'fenced' where the lane was fenced, else with 'closed'. Objects that
   * were on their way may still appear; recovery counts them in.
   */
  abandon(): void {
    if (this.#state !== 'fenced') this.#state = 'closed'
    this.#abandoned = true
    this.#timer?.cancel()
    this.#timer = null
    for (const segment of this.#segments) segment.abort?.abort()
    this.#settle()
  }

  #open(): Segment {
    const last = this.#segments.at(-1)
    if (last !== undefined && last.phase === 'open') return last
    const segment: Segment = {
      seq: this.#nextSeq++,
      entries: [],
      controls: [],
      batchBytes: 0,
      controlBytes: 0,
      pendingBytes: 0,
      phase: 'open',
      openedAtMs: this.#env.clock.monotonic(),
      startedAtMs: 0,
      bounds: noBounds,
      abort: null,
    }
    this.#segments.push(segment)
    return segment
  }

  #account(segment: Segment, bytes: number): void {
    const isFirst = segment.pendingBytes === 0
    segment.pendingBytes += bytes
    this.#pendingBytes += bytes
    if (isFirst) this.#pump()
  }

  #seal(segment: Segment): void {
    if (segment.phase !== 'open') return
    segment.phase = 'sealed'
    this.#pump()
  }

  /** Starts what is due, and sees to it that the rest is looked at again when it will be. */
  #pump(): void {
    if (this.#state !== 'open' && this.#state !== 'closing') return
    while (this.#inflight < this.#options.inflightMax) {
      const segment = this.#firstUnstarted()
      if (segment === null) break
      if (segment.phase === 'open') return this.#arm(segment)
      this.#start(segment)
    }
    this.#timer?.cancel()
    this.#timer = null
  }

  /** `inflightMax` is small, so the first that was not started is near the front. */
  #firstUnstarted(): Segment | null {
    for (const segment of this.#segments) if (segment.phase === 'open' || segment.phase === 'sealed') return segment
    return null
  }

  /** An open segment will start by itself: at the end of this turn, or when its linger time is over. */
  #arm(segment: Segment): void {
    const prompt = this.#inflight === 0
    if (this.#timer !== null && (this.#timerIsPrompt || !prompt)) return
    this.#timer?.cancel()
    this.#timerIsPrompt = prompt
    const waitedMs = this.#env.clock.monotonic() - segment.openedAtMs
    const delayMs = prompt ? 0 : Math.max(0, this.#options.lingerMs - waitedMs)
    this.#timer = this.#env.clock.schedule(delayMs, () => {
      this.#timer = null
      this.#seal(segment)
    })
  }

  #start(segment: Segment): void {
    this.#timer?.cancel()
    this.#timer = null
    segment.phase = 'writing'
    segment.startedAtMs = this.#env.clock.monotonic()
    segment.abort = new AbortController()
    this.#inflight++
    void this.#write(segment, segment.abort.signal).then((outcome) => this.#written(segment, outcome))
  }

  /** Never rejects: a store that refuses is trouble like one that is gone, and whoever runs it may repair it. */
  async #write(segment: Segment, signal: AbortSignal): Promise<CreateOnceOutcome> {
    const commitId = this.#env.uuid()
    const { chunks, bounds } = encodeSegment({
      lane: this.lane, seq: segment.seq, commitId, createdAtMs: this.#env.clock.now(),
      entries: segment.entries, controls: segment.controls,
    })
    segment.bounds = bounds
    const key = laneSegmentKey(this.lane.brokerId, this.lane.incarnation, segment.seq)
    const isMine = (bytes: Uint8Array): boolean => commitIdOf(bytes) === commitId
    const onRetry = (retry: CreateOnceRetry): void => this.#trouble(key, retry.cause)
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        return await createOnce(this.#store, this.#env, key, chunks, isMine, { signal, winnerBytesMax: segmentHeaderBytes, onRetry })
      } catch (error) {
        this.#trouble(key, error)
        await this.#env.clock.sleep(backoffMs(this.#env, attempt, refusedDelayMs, refusedDelayMaxMs), signal)
      }
    }
    return { kind: 'aborted' }
  }

  #written(segment: Segment, outcome: CreateOnceOutcome): void {
    this.#inflight--
    segment.abort = null
    if (this.#abandoned) return
    switch (outcome.kind) {
      case 'created': {
        segment.phase = 'durable'
        const millis = this.#env.clock.monotonic() - segment.startedAtMs
        this.#observer?.segmentWritten(segment.bounds[segment.entries.length]!, segment.entries.length, millis)
        break
      }
      case 'taken':
        segment.phase = 'lost'
        this.#fencedAt(segment.seq)
        break
      case 'aborted':
        segment.phase = 'lost'
        break
    }
    this.#settle()
    this.#pump()
  }

  #fencedAt(seq: LogVersion): void {
    this.#fencedSeq = Math.min(this.#fencedSeq, seq)
    for (const segment of this.#segments) if (segment.seq >= seq) segment.abort?.abort()
    if (this.#state === 'fenced') return
    this.#state = 'fenced'
    this.#timer?.cancel()
    this.#timer = null
    this.#log('error', 'the lane is fenced: another broker took over', { ...this.lane, seq })
    this.#guarded(() => this.#onFenced?.(seq))
  }

  /** Tells entries their fate from the front on, as far as it is known. Callbacks may call anything of this class. */
  #settle(): void {
    if (this.#settling) return
    this.#settling = true
    for (;;) {
      const segment = this.#segments[0]
      if (segment === undefined) break
      if (segment.phase === 'durable' && segment.seq < this.#fencedSeq) {
        this.#take(segment)
        this.#committedSeq = segment.seq + 1
        this.#tell(segment, null)
      } else if (this.#abandoned || segment.seq >= this.#fencedSeq) {
        // Its number is lost, and with it every later one: what comes after a gap does not exist.
        this.#fencedSeq = Math.min(this.#fencedSeq, segment.seq)
        this.#take(segment)
        this.#tell(segment, this.#state === 'fenced' ? 'fenced' : 'closed')
      } else break
    }
    this.#settling = false
    this.#wakeFlushWaiters()
    this.#wakeRoomWaiters()
  }

  #take(segment: Segment): void {
    this.#segments.shift()
    this.#pendingBytes -= segment.pendingBytes
  }

  #tell(segment: Segment, failure: LaneFailure | null): void {
    const { entries, controls, seq, bounds } = segment
    let c = 0
    for (let i = 0; i <= entries.length; i++) {
      for (; c < controls.length && controls[c]!.rowsBefore === i; c++) {
        const { callbacks } = controls[c]!
        this.#guarded(() => (failure === null ? callbacks.durable(this.lane, seq) : callbacks.failed(failure)))
      }
      if (i === entries.length) break
      const entry = entries[i]!
      try {
        if (failure === null) entry.durable(this.lane, seq, bounds[i]!, bounds[i + 1]!)
        else entry.failed(failure)
      } catch (error) {
        this.#callbackThrew(error)
      }
    }
  }

  #wakeFlushWaiters(): void {
    // Numbers that are no longer in the list are settled; waiters came in the order of numbers.
    const firstOpen = this.#segments[0]?.seq ?? Infinity
    while (this.#flushWaiters.length > 0 && this.#flushWaiters[0]!.seq < firstOpen) this.#flushWaiters.shift()!.done()
  }

  #wakeRoomWaiters(): void {
    while (this.#roomWaiters.length > 0 && (this.hasRoom || this.#state !== 'open')) {
      const callback = this.#roomWaiters.shift()!
      this.#guarded(callback)
    }
  }

  /** A caller's bug must not stop the others from hearing. */
  #guarded(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#callbackThrew(error)
    }
  }

  #callbackThrew(error: unknown): void {
    this.#log('error', 'a callback of the lane threw', { ...this.lane, error })
  }

  #trouble(key: string, cause: unknown): void {
    this.#observer?.segmentRetried(cause)
    const now = this.#env.clock.monotonic()
    if (now - this.#troubleLoggedAtMs < troubleLogMs) {
      this.#troubleUnlogged++
      return
    }
    this.#log('warn', 'the store did not take a lane segment; trying again', {
      ...this.lane, key, cause, pendingBytes: this.#pendingBytes, similar: this.#troubleUnlogged,
    })
    this.#troubleLoggedAtMs = now
    this.#troubleUnlogged = 0
  }
}

interface Segment {
  readonly seq: LogVersion
  readonly entries: LaneEntry[]
  readonly controls: (PlacedControl & { readonly callbacks: LaneControlCallbacks })[]
  batchBytes: number
  controlBytes: number
  /** Its part of the writer's `pendingBytes`. */
  pendingBytes: number
  /** open → sealed → writing → durable | lost */
  phase: 'open' | 'sealed' | 'writing' | 'durable' | 'lost'
  readonly openedAtMs: number
  startedAtMs: number
  bounds: Uint32Array
  abort: AbortController | null
}

const noBounds = new Uint32Array(1)
