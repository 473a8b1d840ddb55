/** Decoders against bytes that nobody honest sends: the outcome is a value or a `ProtocolError`, and it costs bounded memory. */
import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import { Metadata } from '../../protocol/messages/03-metadata.ts'
import { JoinGroup } from '../../protocol/messages/11-join-group.ts'
import { ApiVersions } from '../../protocol/messages/18-api-versions.ts'
import { CreateTopics } from '../../protocol/messages/19-create-topics.ts'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { codecsOf, DECLARED_APIS, hex, versionsOf, type Codec, type UntypedApi } from './declared-apis.ts'

interface Sample {
  readonly what: string
  readonly codec: Codec
  readonly version: number
  readonly bytes: Buffer
}

function samplesOf(file: string, api: UntypedApi): Sample[] {
  const golden = JSON.parse(readFileSync(new URL(`golden/${file}.json`, import.meta.url), 'utf8')) as {
    readonly vectors: readonly { readonly type: string, readonly version: number, readonly hex: string }[]
  }
  return golden.vectors.map(({ type, version, hex: message }) => {
    const codec = codecsOf(api).find((candidate) => candidate.type === type)
    ok(codec !== undefined)
    return { what: `${api.name} ${type} v${version}`, codec, version, bytes: hex(message) }
  })
}

const SAMPLES = DECLARED_APIS.flatMap(({ file, api }) => samplesOf(file, api))

/** The decoded value, or undefined for a protocol error; any other error fails the test. */
function decoded({ codec, version }: Sample, bytes: Uint8Array): unknown {
  try {
    return codec.decode(version, bytes)
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** The length of a compact array. */
function compactCount(count: number): Buffer {
  const bytes: number[] = []
  let rest = count + 1
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.from([...bytes, rest])
}

suite('hostile bytes', () => {
  test('no proper beginning of a message is a message', () => {
    for (const sample of SAMPLES) {
      for (let length = 0; length < sample.bytes.length; length++) {
        equal(decoded(sample, sample.bytes.subarray(0, length)), undefined, `${sample.what} cut to ${length} bytes`)
      }
    }
  })

  test('a message with damaged bytes is refused, or read as something that can be written and read again', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff))), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(fc.property(fc.nat(SAMPLES.length - 1), damage, (index, changes) => {
      const sample = SAMPLES[index] as Sample
      const bytes = Buffer.from(sample.bytes)
      for (const [at, value] of changes) bytes[at % bytes.length] = value
      const value = decoded(sample, bytes)
      if (value === undefined) return
      deepEqual(decoded(sample, Buffer.concat(sample.codec.encode(sample.version, value))), value, sample.what)
    }), { numRuns: 5000 })
  })

  test('garbage', () => {
    const codecs = DECLARED_APIS.flatMap(({ api }) => (
      codecsOf(api).flatMap((codec) => versionsOf(api).map((version) => ({ codec, version })))
    ))
    fc.assert(fc.property(fc.nat(codecs.length - 1), fc.uint8Array({ maxLength: 300, size: 'max' }), (index, bytes) => {
      const chosen = codecs[index] as (typeof codecs)[number]
      decoded({ what: 'garbage', ...chosen, bytes: Buffer.alloc(0) }, bytes)
    }), { numRuns: 5000 })
  })
})

suite('amplification', () => {
  test('an array that does not fit into its frame is refused before it is allocated', () => {
    throws(() => Metadata.decodeRequest(1, hex('7fffffff')), /does not fit/)
    throws(() => Metadata.decodeRequest(9, hex('ffffffff0f')), /does not fit/)
    throws(() => CreateTopics.decodeRequest(7, Buffer.concat([compactCount(11), Buffer.alloc(100)])), /does not fit/)
  })

  test('a frame of many tiny elements is refused by the budget', () => {
    const count = 1_000_000
    const topics = Buffer.concat([compactCount(count), Buffer.alloc(count * 2, Buffer.from([1, 0])), Buffer.alloc(8)])
    throws(() => Metadata.decodeRequest(9, topics), /budget/)
    const before = process.memoryUsage().heapUsed
    for (let round = 0; round < 20; round++) throws(() => Metadata.decodeRequest(9, topics), ProtocolError)
    ok(process.memoryUsage().heapUsed - before < 10_000_000, 'nothing was allocated for the elements')
    equal(Metadata.decodeRequest(9, topics, { budgetBytes: 1e9 }).topics?.length, count)
  })

  test('arrays in arrays and byte strings spend the same budget', () => {
    const protocols = Array.from({ length: 2000 }, () => ({ name: '', metadata: new Uint8Array(0) }))
    const frame = Buffer.concat(JoinGroup.encodeRequest(9, { groupId: '', sessionTimeoutMs: 1, memberId: '', protocolType: '', protocols }))
    equal(JoinGroup.decodeRequest(9, frame).protocols.length, 2000)
    throws(() => JoinGroup.decodeRequest(9, frame, { budgetBytes: 2000 * 100 }), /budget/)
  })

  test('honest large requests stay within the default budget', () => {
    const topics = Array.from({ length: 50_000 }, (_, index) => ({ name: `topic-${index}` }))
    for (const version of [1, 9, 13]) {
      equal(Metadata.decodeRequest(version, Buffer.concat(Metadata.encodeRequest(version, { topics }))).topics?.length, 50_000)
    }
    const created = Array.from({ length: 10_000 }, (_, index) => ({
      name: `topic-${index}`, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [{ name: 'retention.ms', value: '1000' }],
    }))
    equal(CreateTopics.decodeRequest(7, Buffer.concat(CreateTopics.encodeRequest(7, { topics: created }))).topics.length, 10_000)
  })

  test('unknown tagged fields are not kept, however many there are', () => {
    const unknown = Buffer.alloc(400_000, hex('630200ff'))
    const many = Buffer.concat([hex('0262', '0262'), compactCount(99_999), unknown])
    deepEqual(ApiVersions.decodeRequest(3, many, { budgetBytes: 100 }), { clientSoftwareName: 'b', clientSoftwareVersion: 'b' })
  })
})
