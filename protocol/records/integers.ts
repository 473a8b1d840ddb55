/**
 * Integers of the record format. Fixed-size ones are big-endian; varints are zigzag and little-endian in groups of
 * seven bits (Kafka protocol guide, "Protocol Primitive Types": VARINT, VARLONG).
 *
 * int64 is a JS number here: exact up to 2^53, rounded beyond. Whoever needs to know checks `Number.isSafeInteger`.
 * The reading functions expect that the caller has checked the bounds.
 */

const TWO_32 = 4_294_967_296

export function readInt16(bytes: Uint8Array, at: number): number {
  return (((bytes[at]! << 8) | bytes[at + 1]!) << 16) >> 16
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at) >>> 0
}

export function readInt64(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at) * TWO_32 + readUint32(bytes, at + 4)
}

export function writeInt16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value
}

/** Writes the low 32 bits of `value`, so that it serves unsigned numbers as well. */
export function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export function writeInt64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_32)
  writeInt32(bytes, at, high)
  writeInt32(bytes, at + 4, value - high * TWO_32)
}

/** Bytes that `writeVarint` takes for an int32. */
export function sizeOfVarint(value: number): number {
  return sizeOfGroups((value << 1) ^ (value >> 31))
}

/** Bytes that `writeVarlong` takes for a safe integer. */
export function sizeOfVarlong(value: number): number {
  if (value === (value | 0)) return sizeOfVarint(value)
  let rest = zigzag(value)
  let size = 1
  while (rest >= TWO_32) {
    rest = Math.floor(rest / 128)
    size++
  }
  return size - 1 + sizeOfGroups(rest)
}

/** Writes an int32 and returns the position behind it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = (value << 1) ^ (value >> 31)
  while ((rest & ~0x7f) !== 0) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

/** Writes a safe integer and returns the position behind it. */
export function writeVarlong(bytes: Uint8Array, at: number, value: number): number {
  if (value === (value | 0)) return writeVarint(bytes, at, value)
  let rest = zigzag(value)
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  bytes[at++] = rest
  return at
}

/** Zigzag of an integer in double arithmetic; exact while |value| ≤ 2^52, which covers every timestamp delta that matters. */
function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value
}

/** Number of seven-bit groups in a uint32. */
function sizeOfGroups(value: number): number {
  return ((38 - Math.clz32(value | 1)) / 7) | 0
}
