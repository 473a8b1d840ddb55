/** Bounds that several parts of storage share (P8). Those of one part alone lie beside it, as in lane/limits.ts. */

/**
 * Timestamps of records lie within ± this many milliseconds (the year 2255), so that their microseconds, in which tables keep them, are safe
 * integers everywhere: in rows, in statistics and in look-ups by time.
 */
export const timestampMsMax = Math.floor(Number.MAX_SAFE_INTEGER / 1000)
