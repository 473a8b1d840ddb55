/** Threads that work on tables step back behind those that answer clients, where the processor is short: nobody waits for a flush, but somebody does for an acknowledgement. */
import { getPriority, platform, setPriority } from 'node:os'

/** Steps of nice(2), each of which is worth a fifth of the processor time. */
const flushSteps = 5
export const upkeepSteps = 10

/** To be called once for a thread: by itself when it starts, or with its id. Linux has a priority for each thread; elsewhere it belongs to the process, and is left alone. */
export function stepBack(steps: number = flushSteps, thread = 0): void {
  if (platform() === 'linux') setPriority(thread, Math.min(19, getPriority(0) + steps))
}
