/**
 * The world under a seed (HOUSE habit 2): virtual time, seeded randomness, and processes that can be killed at any await point.
 *
 * Time stands still while anything can run and then jumps to the next timer; timers of the same moment run in the order in which they
 * were set. Everything that runs in it must wait only for promises of this world: no sockets, no files, no worker threads, except through
 * `external`, which lets real time pass while virtual time waits. The same seed gives the same run.
 */
import type { Clock, Env, Timer } from '../../storage/env.ts'
import type { ListOptions, ObjectMeta, ObjectStore, PutOutcome } from '../../storage/objects/object-store.ts'

/** The wall clock of every world starts here. */
export const simEpochMs = 1_700_000_000_000

export class SimEnv implements Env {
  readonly seed: number
  readonly clock: Clock
  #nowMs = 0
  #order = 0
  #random: () => number
  readonly #timers = new TimerHeap()
  #external = 0
  #steps = 0

  constructor(seed: number) {
    this.seed = seed
    this.#random = seededRandom(seed)
    this.clock = simClock(this)
  }

  /** Uniform in [0, 1). */
  random(): number {
    return this.#random()
  }

  /** An integer in [0, n). */
  below(n: number): number {
    return Math.floor(this.#random() * n)
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }

  uuid(): string {
    for (;;) {
      const bytes = Buffer.alloc(16)
      for (let i = 0; i < 16; i++) bytes[i] = this.below(256)
      const id = bytes.toString('base64url')
      if (!id.startsWith('-')) return id
    }
  }

  /** Virtual milliseconds since the start. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Timers run so far; equal in two runs of one seed. */
  get steps(): number {
    return this.#steps
  }

  setTimer(ms: number, task: () => void): Timer {
    const timer: SimTimer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, task }
    this.#timers.push(timer)
    return {
      cancel: () => {
        timer.task = null
      },
    }
  }

  /** Work outside of this world (a worker thread, a file): virtual time waits for it. Its timing must not decide anything. */
  async external<T>(work: Promise<T>): Promise<T> {
    this.#external++
    try {
      return await work
    } finally {
      this.#external--
    }
  }

  /**
   * Runs until `work` settles and gives its result. Throws where it waits for something that no timer will bring, and after
   * `limitMs` of virtual time (default one day), so that a lost wake-up is a failure and no endless test.
   */
  async run<T>(work: Promise<T>, limitMs = 86_400_000): Promise<T> {
    const endMs = this.#nowMs + limitMs
    let settled = false
    const watched = work.finally(() => (settled = true))
    watched.catch(() => undefined)
    for (;;) {
      await quiet()
      if (settled) return watched
      if (this.#external > 0) continue
      if (!this.#step(endMs)) throw new Error(`seed ${this.seed}: the work waits and ${this.#nextAtMs(endMs)}`)
    }
  }

  /** Lets `ms` of virtual time pass; whatever falls due in it runs. */
  async pass(ms: number): Promise<void> {
    await this.run(this.clock.sleep(ms))
  }

  #step(endMs: number): boolean {
    for (;;) {
      const timer = this.#timers.pop()
      if (timer === null) return false
      if (timer.task === null) continue
      if (timer.atMs > endMs) {
        this.#timers.push(timer)
        return false
      }
      this.#nowMs = timer.atMs
      this.#steps++
      timer.task()
      return true
    }
  }

  #nextAtMs(endMs: number): string {
    return this.#timers.size === 0 ? 'no timer is left' : `${endMs} ms are over`
  }
}

/**
 * One broker process in a world: its own view of clock, randomness and store. After `kill` its timers never fire and its store calls
 * never answer, which is all that the rest of the world sees of a crash. What it had already handed to the store may still land.
 * While paused (a long collection of garbage, a machine that was put to sleep) nothing of it runs; what came for it waits for `resume`.
 */
export class SimProcess implements Env {
  readonly clock: Clock
  readonly #world: SimEnv
  #state: 'running' | 'paused' | 'dead' = 'running'
  #stepsLeft = Infinity
  #atTheEnd: 'kill' | 'pause' = 'kill'
  #steps = 0
  /** What came while it was paused, in order. */
  #deferred: (() => void)[] = []
  #catchingUp = false
  /** Virtual time that its monotonic clock has not seen. */
  #sleptMs = 0
  #pausedAtMs = 0
  readonly #onStop: ((how: 'kill' | 'pause') => void)[] = []

  constructor(world: SimEnv) {
    this.#world = world
    const slept = (): number => this.#sleptMs
    const clock = simClock({
      get nowMs() {
        return world.nowMs
      },
      setTimer: (ms, task) => world.setTimer(ms, () => this.step(task)),
    })
    this.clock = { ...clock, monotonic: () => world.nowMs - slept() }
  }

  get alive(): boolean {
    return this.#state !== 'dead'
  }
  get paused(): boolean {
    return this.#state === 'paused'
  }
  /** Await points so far. */
  get steps(): number {
    return this.#steps
  }

  random(): number {
    return this.#world.random()
  }

  uuid(): string {
    return this.#world.uuid()
  }

  /** Told once when the process is killed, and each time when it is paused; also when it is by `killAfter` or `pauseAfter`. */
  whenStopped(listener: (how: 'kill' | 'pause') => void): void {
    this.#onStop.push(listener)
  }

  kill(): void {
    if (this.#state === 'dead') return
    this.#state = 'dead'
    this.#deferred = []
    for (const listener of this.#onStop) listener('kill')
  }

  pause(): void {
    if (this.#state !== 'running') return
    this.#state = 'paused'
    this.#pausedAtMs = this.#world.nowMs
    for (const listener of this.#onStop) listener('pause')
  }

  /** Goes on where it stopped. `asleep`: the monotonic clock stood still meanwhile, as it does while a machine sleeps. */
  resume(asleep = false): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    if (asleep) this.#sleptMs += this.#world.nowMs - this.#pausedAtMs
    this.#catchUp()
  }

  /** One after the other, before anything that comes now: the bytes of a connection stay in order. */
  #catchUp(): void {
    if (this.#deferred.length === 0 || this.#catchingUp) return
    this.#catchingUp = true
    this.#world.setTimer(0, () => {
      this.#catchingUp = false
      if (this.#state !== 'running') return
      const task = this.#deferred.shift()
      // A process that falls asleep again at this very point has it before it still.
      if (task !== undefined && !this.#run(task) && this.alive) this.#deferred.unshift(task)
      this.#catchUp()
    })
  }

  /** Kills the process at its n-th await point from now: a timer that fires, a store call that begins, or its answer. */
  killAfter(steps: number): void {
    this.#stepsLeft = steps
    this.#atTheEnd = 'kill'
  }

  /** As `killAfter`, but the process can be resumed. */
  pauseAfter(steps: number): void {
    this.#stepsLeft = steps
    this.#atTheEnd = 'pause'
  }

  /** Takes back `killAfter` and `pauseAfter`. */
  disarm(): void {
    this.#stepsLeft = Infinity
  }

  /** Runs the task now, after `resume`, or never. */
  step(task: () => void): void {
    if (this.#state === 'running' && this.#deferred.length > 0) this.#deferred.push(task)
    else if (!this.#run(task) && this.alive) this.#deferred.push(task)
  }

  /** False when the process does not run, or stops here. */
  #run(task: () => void): boolean {
    if (this.#state === 'running' && this.#stepsLeft-- <= 0) {
      this.#stepsLeft = Infinity
      if (this.#atTheEnd === 'kill') this.kill()
      else this.pause()
    }
    if (this.#state !== 'running') return false
    this.#steps++
    task()
    return true
  }

  /** The store as this process sees it. */
  store(inner: ObjectStore): ObjectStore {
    return new ProcessStore(this, inner)
  }
}

class ProcessStore implements ObjectStore {
  readonly description: string
  readonly #process: SimProcess
  readonly #inner: ObjectStore

  constructor(process: SimProcess, inner: ObjectStore) {
    this.#process = process
    this.#inner = inner
    this.description = inner.description
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.#call(() => this.#inner.get(key))
  }

  getRange(key: string, start: number, endExclusive: number): Promise<Uint8Array | null> {
    return this.#call(() => this.#inner.getRange(key, start, endExclusive))
  }

  head(key: string): Promise<ObjectMeta | null> {
    return this.#call(() => this.#inner.head(key))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<PutOutcome> {
    return this.#call(() => this.#inner.putIfAbsent(key, body))
  }

  put(key: string, body: readonly Uint8Array[]): Promise<void> {
    return this.#call(() => this.#inner.put(key, body))
  }

  list(prefix: string, options?: ListOptions): Promise<readonly ObjectMeta[]> {
    return this.#call(() => this.#inner.list(prefix, options))
  }

  delete(keys: readonly string[]): Promise<void> {
    return this.#call(() => this.#inner.delete(keys))
  }

  close(): Promise<void> {
    return this.#call(() => this.#inner.close())
  }

  /** A crash can come before the call leaves the process, or after its effect and before its answer. */
  #call<T>(call: () => Promise<T>): Promise<T> {
    return new Promise((done, fail) => {
      this.#process.step(() => {
        call().then(
          (value) => this.#process.step(() => done(value)),
          (error: unknown) => this.#process.step(() => fail(error)),
        )
      })
    })
  }
}

/** sfc32 after a splitmix of the seed: neighbouring seeds give unrelated runs. */
export function seededRandom(seed: number): () => number {
  let s = seed | 0
  const mix = (): number => {
    s = (s + 0x9e3779b9) | 0
    let t = s ^ (s >>> 16)
    t = Math.imul(t, 0x21f0aaad)
    t ^= t >>> 15
    t = Math.imul(t, 0x735a2d97)
    return t ^ (t >>> 15)
  }
  let a = mix()
  let b = mix()
  let c = mix()
  let d = 1
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return (t >>> 0) / 4_294_967_296
  }
  for (let i = 0; i < 12; i++) next()
  return next
}

/** Resolves when no promise job is left: the end of the real turn comes after all of them. */
function quiet(): Promise<void> {
  return new Promise((done) => setImmediate(done))
}

interface TimeSource {
  readonly nowMs: number
  setTimer(ms: number, task: () => void): Timer
}

function simClock(source: TimeSource): Clock {
  return {
    now: () => Math.floor(simEpochMs + source.nowMs),
    monotonic: () => source.nowMs,
    schedule: (ms, task) => source.setTimer(ms, task),
    sleep: (ms, signal) =>
      new Promise((done) => {
        if (signal?.aborted === true) return done()
        const end = (): void => {
          timer.cancel()
          signal?.removeEventListener('abort', end)
          done()
        }
        const timer = source.setTimer(ms, end)
        signal?.addEventListener('abort', end, { once: true })
      }),
  }
}

interface SimTimer {
  readonly atMs: number
  readonly order: number
  /** Null once cancelled. */
  task: (() => void) | null
}

class TimerHeap {
  readonly #items: SimTimer[] = []

  get size(): number {
    return this.#items.length
  }

  push(timer: SimTimer): void {
    const items = this.#items
    let i = items.push(timer) - 1
    while (i > 0) {
      const parent = (i - 1) >>> 1
      if (!isBefore(timer, items[parent]!)) break
      items[i] = items[parent]!
      i = parent
    }
    items[i] = timer
  }

  pop(): SimTimer | null {
    const items = this.#items
    const first = items[0]
    if (first === undefined) return null
    const last = items.pop()!
    if (items.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= items.length) break
      if (child + 1 < items.length && isBefore(items[child + 1]!, items[child]!)) child++
      if (!isBefore(items[child]!, last)) break
      items[i] = items[child]!
      i = child
    }
    items[i] = last
    return first
  }
}

function isBefore(a: SimTimer, b: SimTimer): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order
}
