/** Hard bounds of the lane formats (P8). What is beyond them on reading is corrupt; the writer seals a segment before it reaches one. */

/** Batches of one segment: 64 index bytes each. */
export const segmentRowsMax = 65_536
/** Control rows of one segment, and the bytes of all of them together. */
export const segmentControlsMax = 65_536
export const segmentControlBytesMax = 4 * 1024 * 1024
/** Payload of one control row. */
export const controlPayloadBytesMax = 1024 * 1024
/** Header and index of one segment. */
export const segmentHeadBytesMax = 16 * 1024 * 1024
/** One segment object: positions in it are unsigned 32-bit numbers. */
export const segmentObjectBytesMax = 0xffff_ffff
/** What a first ranged GET of a segment asks for; usually header and index are in it. */
export const segmentProbeBytes = 64 * 1024
/** Body of one checkpoint. */
export const checkpointBytesMax = 1024 * 1024 * 1024
