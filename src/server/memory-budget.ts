/**
 * One limit for the bytes that all connections hold together: requests that arrive or are worked on, and answers that are not sent yet (P8).
 * Where it is used up, connections stop reading their sockets, and TCP slows the clients down.
 *
 * Progress is certain although many half requests may fill the budget: one member at a time may go beyond the limit (the overdraft) until
 * the frame that it is receiving is answered. Members are served in the order in which they began to wait.
 */
import type { Clock, Timer } from '../../storage/env.ts'

export interface BudgetMember {
  /** Bytes of a frame that is not complete, or that were not looked at: what only the overdraft can bring forward. */
  readonly unfinishedBytes: number
  /** Something that this member holds waits for its client: bytes to arrive although it reads, or to be taken although it sends. */
  readonly waitsForClient: boolean
  /** Bytes held now, and bytes that went through the socket in either direction since the beginning. */
  readonly heldBytes: number
  readonly movedBytes: number
  /** May read again. */
  budgetAvailable(): void
  /** Holds memory that others wait for, and its client hardly moves: close it. */
  evict(): void
}

/** Under pressure a client has to move this share of what is held for it in each interval, or gives it back. */
const paceMs = 5000
const paceShare = 0.05

export class MemoryBudget {
  readonly limitBytes: number
  readonly #clock: Clock
  readonly #members = new Set<BudgetMember>()
  readonly #waiting = new Set<BudgetMember>()
  readonly #movedBefore = new Map<BudgetMember, number>()
  #usedBytes = 0
  #overdraft: BudgetMember | null = null
  #serving = false
  #again = false
  #paceTimer: Timer | null = null

  constructor(limitBytes: number, clock: Clock) {
    this.limitBytes = limitBytes
    this.#clock = clock
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get waiting(): number {
    return this.#waiting.size
  }

  get exhausted(): boolean {
    return this.#usedBytes >= this.limitBytes
  }

  join(member: BudgetMember): void {
    this.#members.add(member)
  }

  /** Gives back nothing by itself: what the member holds it releases as it lets go of it. */
  leave(member: BudgetMember): void {
    this.#members.delete(member)
    this.#waiting.delete(member)
    this.#movedBefore.delete(member)
    this.returnOverdraft(member)
  }

  /** The member reads no more. A spent overdraft stays with the answer that is still to come. */
  withdraw(member: BudgetMember, overdraftSpent: boolean): void {
    this.#waiting.delete(member)
    if (!overdraftSpent) this.returnOverdraft(member)
  }

  /** Counts bytes that are there already. Never refuses: whoever may not read does not come here. */
  acquire(bytes: number): void {
    this.#usedBytes += bytes
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
    if (this.#waiting.size > 0) this.#serve()
  }

  mayRead(member: BudgetMember): boolean {
    return this.#usedBytes < this.limitBytes || this.#overdraft === member
  }

  hasOverdraft(member: BudgetMember): boolean {
    return this.#overdraft === member
  }

  /** The member stopped reading because of `mayRead` and wants to be called. */
  wait(member: BudgetMember): void {
    this.#waiting.add(member)
    this.#serve()
    this.#watchPace()
  }

  /** The frame for which the member had the overdraft is answered. Harmless for others. */
  returnOverdraft(member: BudgetMember): void {
    if (this.#overdraft !== member) return
    this.#overdraft = null
    this.#serve()
  }

  /** What is called here may take, release and wait in turn; then the round is done again. */
  #serve(): void {
    this.#again = true
    if (this.#serving) return
    this.#serving = true
    while (this.#again) {
      this.#again = false
      while (this.#waiting.size > 0 && !this.exhausted) this.#wake(this.#waiting.values().next().value!)
      if (this.#overdraft === null && this.exhausted) this.#lend()
    }
    this.#serving = false
  }

  #lend(): void {
    for (const member of this.#waiting) {
      if (member.unfinishedBytes === 0) continue
      this.#overdraft = member
      this.#wake(member)
      return
    }
  }

  #wake(member: BudgetMember): void {
    this.#waiting.delete(member)
    member.budgetAvailable()
  }

  #watchPace(): void {
    if (this.#paceTimer !== null || this.#waiting.size === 0) return
    for (const member of this.#members) {
      if (member.waitsForClient) this.#movedBefore.set(member, member.movedBytes)
    }
    this.#paceTimer = this.#clock.schedule(paceMs, () => {
      this.#paceTimer = null
      this.#evictStalled()
      this.#movedBefore.clear()
      this.#watchPace()
    })
  }

  #evictStalled(): void {
    if (this.#waiting.size === 0) return
    const stalled = [...this.#movedBefore]
      .filter(([member, before]) => member.waitsForClient && member.movedBytes - before < member.heldBytes * paceShare)
      .map(([member]) => member)
      .sort((a, b) => b.heldBytes - a.heldBytes)
    for (const member of stalled) {
      if (this.#waiting.size === 0) return
      member.evict()
    }
  }
}
