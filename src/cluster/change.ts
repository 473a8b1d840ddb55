/** Changes of the cluster's metadata, with a bound on how long their callers wait for the object store (P8). */
import type { Clock } from '../../storage/env.ts'
import type { Journal, JournalAppendOutcome, JournalProposal } from '../../storage/journal/journal.ts'
import type { JournalState } from '../../storage/journal/state.ts'

/**
 * A change waits at least this long, whatever the client asks for: on Kafka its timeout bounds a step that a controller takes in
 * milliseconds, so some clients ask for none. Where a request has no timeout, this is the bound.
 */
const CHANGE_MIN_MS = 10_000

/** As `Journal.append`, but given up after a time: `aborted` then means that nothing was written, `unknown` that it may come to be. */
export async function appendChange<R>(
  journal: Journal,
  clock: Clock,
  build: (state: JournalState) => JournalProposal<R>,
  timeoutMs = 0,
): Promise<JournalAppendOutcome<R>> {
  const giveUp = new AbortController()
  const timer = clock.schedule(Math.max(timeoutMs, CHANGE_MIN_MS), () => giveUp.abort())
  try {
    return await journal.append(build, { signal: giveUp.signal })
  } finally {
    timer.cancel()
  }
}

/** What a client is told of a change that was given up. */
export function givenUp({ kind }: { readonly kind: 'aborted' | 'unknown' }): string {
  return kind === 'aborted'
    ? 'The object store did not answer in time; nothing was changed.'
    : 'The object store did not answer in time; the change may be in force or come into force later.'
}
