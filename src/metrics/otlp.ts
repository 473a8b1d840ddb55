/**
 * Reads metrics that clients push (KIP-714): OpenTelemetry's MetricsData as protobuf. Gauges and sums with their numbers and attributes; other
 * kinds of metrics are skipped. Input is hostile: every length is checked, and there is a bound on the number of points.
 */
export interface PushedPoint {
  readonly name: string
  readonly value: number
  readonly attributes: ReadonlyMap<string, string>
}

export class OtlpError extends Error {}

interface Field {
  readonly number: number
  /** Of varints. */
  readonly varint: bigint
  /** Of everything else: the bytes. */
  readonly bytes: Buffer
}

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

/** The points of a MetricsData message, at most `pointsMax`. @throws OtlpError where it is not one */
export function readMetrics(data: Uint8Array, pointsMax: number): PushedPoint[] {
  const points: PushedPoint[] = []
  for (const resourceMetrics of messages(bufferOf(data), 1)) {
    for (const scopeMetrics of messages(resourceMetrics, 2)) {
      for (const metric of messages(scopeMetrics, 2)) readMetric(metric, points, pointsMax)
    }
  }
  return points
}

function readMetric(metric: Buffer, points: PushedPoint[], pointsMax: number): void {
  let name = ''
  const series: Buffer[] = []
  for (const { number, bytes } of fieldsOf(metric)) {
    if (number === 1) name = bytes.toString('utf8')
    // 5: gauge, 7: sum.
    if (number === 5 || number === 7) series.push(bytes)
  }
  for (const one of series) {
    for (const point of messages(one, 1)) {
      if (points.length >= pointsMax) return
      const read = readPoint(name, point)
      if (read !== null) points.push(read)
    }
  }
}

function readPoint(name: string, point: Buffer): PushedPoint | null {
  let value: number | null = null
  const attributes = new Map<string, string>()
  for (const { number, bytes } of fieldsOf(point)) {
    if (number === 4 && bytes.length === 8) value = bytes.readDoubleLE(0)
    else if (number === 6 && bytes.length === 8) value = Number(bytes.readBigInt64LE(0))
    else if (number === 7) readAttribute(bytes, attributes)
  }
  return value === null || name === '' ? null : { name, value, attributes }
}

function readAttribute(pair: Buffer, attributes: Map<string, string>): void {
  let key = ''
  let value = ''
  for (const { number, bytes } of fieldsOf(pair)) {
    if (number === 1) key = bytes.toString('utf8')
    if (number === 2) {
      for (const inner of fieldsOf(bytes)) {
        if (inner.number === 1) value = inner.bytes.toString('utf8')
        else if (inner.number === 2 || inner.number === 3) value = String(inner.varint)
      }
    }
  }
  attributes.set(key, value)
}

function* messages(message: Buffer, wanted: number): Generator<Buffer> {
  for (const { number, bytes } of fieldsOf(message)) if (number === wanted) yield bytes
}

const NOTHING = Buffer.alloc(0)

function* fieldsOf(message: Buffer): Generator<Field> {
  const at = { position: 0 }
  while (at.position < message.length) {
    const tag = Number(varintAt(message, at))
    const number = tag >>> 3
    switch (tag & 7) {
      case VARINT:
        yield { number, varint: varintAt(message, at), bytes: NOTHING }
        break
      case FIXED64:
        yield { number, varint: 0n, bytes: take(message, at, 8) }
        break
      case LENGTH:
        yield { number, varint: 0n, bytes: take(message, at, Number(varintAt(message, at))) }
        break
      case FIXED32:
        yield { number, varint: 0n, bytes: take(message, at, 4) }
        break
      default:
        throw new OtlpError(`wire type ${tag & 7}`)
    }
  }
}

function take(message: Buffer, at: { position: number }, length: number): Buffer {
  const end = at.position + length
  if (end > message.length) throw new OtlpError('a field ends beyond its message')
  const bytes = message.subarray(at.position, end)
  at.position = end
  return bytes
}

function varintAt(message: Buffer, at: { position: number }): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = message[at.position++]
    if (byte === undefined) throw new OtlpError('a number ends beyond its message')
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw new OtlpError('a number of more than ten bytes')
}

function bufferOf(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
