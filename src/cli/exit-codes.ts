/** What the process says with its exit code. */
export const exitCodes = {
  /** Stopped in an orderly way. */
  ok: 0,
  /** Could not start (store, port), failed, or could not stop in time. */
  failed: 1,
  /** Wrong arguments or settings. */
  badSettings: 2,
  /** Another broker took over the store (P3): a supervisor should not start this one again at once. */
  fenced: 3,
} as const
