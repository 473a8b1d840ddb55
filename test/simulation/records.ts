/** Records that can be told apart wherever they are found: each is unique in one of key, value and headers. */
import type { RecordToEncode } from '../../protocol/records/encoder.ts'
import { encodeBatch } from '../../protocol/records/encoder.ts'
import type { DecodedRecord } from '../../protocol/records/record.ts'
import type { SimEnv } from './sim-env.ts'
import { simEpochMs } from './sim-env.ts'

const nothing = new Uint8Array(0)
const invalidUtf8 = new Uint8Array([0xff, 0xfe, 0x62])

/** The `n`-th record of a producer, with everything that a record can have. */
export function makeRecord(env: SimEnv, producer: string, n: number): RecordToEncode {
  const id = Buffer.from(`${producer}:${n}`)
  const size = env.oneIn(40) ? 1 + env.below(3000) : env.below(60)
  const filler = Buffer.alloc(size, n & 0xff)
  const timestamp = env.oneIn(12) ? -1 : Math.floor(simEpochMs + env.nowMs) - env.below(5000) + (env.oneIn(30) ? 86_400_000 : 0)
  switch (env.below(8)) {
    case 0:
      return { timestamp, key: id, value: null }
    case 1:
      return { timestamp, key: nothing, value: Buffer.concat([id, filler]) }
    case 2:
      return { timestamp, key: null, value: nothing, headers: [{ key: 'id', value: id }, { key: 'id', value: null }, { key: '', value: nothing }] }
    case 3:
      return { timestamp, key: filler, value: id, headers: [{ key: invalidUtf8, value: filler }, { key: 'é', value: null }] }
    default:
      return { timestamp, key: Buffer.from(`k${n % 7}`), value: Buffer.concat([id, filler]) }
  }
}

/** The `n`-th record of a producer to a compacted topic: a key among few, with or without a value, and always told apart. */
export function makeKeyedRecord(env: SimEnv, producer: string, n: number): RecordToEncode {
  const id = Buffer.from(`${producer}:${n}`)
  const number = env.below(env.oneIn(3) ? 40 : 4)
  const key = number === 0 ? nothing : Buffer.from(`k${number}`)
  const timestamp = env.oneIn(20) ? -1 : Math.floor(simEpochMs + env.nowMs) - env.below(500)
  const headers = [{ key: 'id', value: id }]
  switch (env.below(6)) {
    case 0:
    case 1:
      return { timestamp, key, value: null, headers }
    case 2:
      return { timestamp, key, value: nothing, headers }
    default:
      return { timestamp, key, value: Buffer.concat([id, Buffer.alloc(env.below(60), n & 0xff)]) }
  }
}

export interface BatchPlan {
  readonly records: readonly RecordToEncode[]
  readonly codec: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

/** Fresh bytes each time: the log patches and keeps what it is given. */
export function encodePlan(plan: BatchPlan): Uint8Array {
  return encodeBatch({ ...plan, baseOffset: 0 })
}

/** Everything of a record but its timestamp. */
export function identityOf(record: Pick<DecodedRecord, 'key' | 'value'> & { readonly headers?: DecodedRecord['headers'] }): string {
  let text = `${bytesOf(record.key)}|${bytesOf(record.value)}`
  for (const { key, value } of record.headers ?? []) {
    text += `|${typeof key === 'string' ? Buffer.from(key).toString('latin1') : bytesOf(key)}=${bytesOf(value)}`
  }
  return text
}

/** Null and empty are different. */
function bytesOf(bytes: Uint8Array | null): string {
  return bytes === null ? '-' : `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')}"`
}

/** For messages: identities may hold any bytes. */
export function shown(identity: string | undefined): string {
  return identity === undefined ? 'nothing' : JSON.stringify(identity.length > 60 ? `${identity.slice(0, 60)}…` : identity)
}
