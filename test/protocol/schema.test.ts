/** What the declaration language promises to handlers: one shape for all versions. */
import { deepEqual, equal, throws } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { suite, test } from 'node:test'
import { defineApi, type RequestInputOf } from '../../protocol/schema/api.ts'
import {
  array, boolean, bytes, float64, int16, int32, int64, int8, nullableArray, nullableBytes, nullableString, records, string, struct, uint16,
  uint32, uuid, ZERO_UUID,
} from '../../protocol/schema/field.ts'
import { ProtocolError } from '../../protocol/wire/protocol-error.ts'
import { hex } from './declared-apis.ts'

const Example = defineApi({
  key: 1000,
  name: 'Example',
  versions: [1, 4],
  flexible: 3,
  request: struct({
    old: string.until(2),
    id: int32,
    name: string.nullableSince(2),
    reason: nullableString.since(2).default(null),
    limit: int64.since(2).default(-1),
    items: nullableArray(struct({ key: uuid, weight: float64.since(2), port: uint16, size: uint32, extra: nullableBytes })),
    cursor: struct({ at: int8 }).nullableSince(3).since(3).default(null),
    payload: records,
    note: string.since(2).tagged(1, 3),
    flags: array(boolean).tagged(0, 3),
    leader: struct({ id: int32.default(-1), data: bytes }).tagged(7, 4),
  }),
  response: struct({ errorCode: int16.default(0) }),
})

const FULL: RequestInputOf<typeof Example> = {
  old: 'old',
  id: 7,
  name: null,
  reason: 'because',
  limit: 5,
  items: [{ key: 'AAECAwQFBgcICQoLDA0ODw', weight: 1.5, port: 65535, size: 4294967295, extra: null }],
  cursor: { at: -1 },
  payload: [Buffer.from('abc'), Buffer.from('def')],
  note: 'n',
  flags: [true, false],
  leader: { id: 3, data: Buffer.from('x') },
}

function roundTrip(version: number, value: RequestInputOf<typeof Example>): unknown {
  return Example.decodeRequest(version, Buffer.concat(Example.encodeRequest(version, value)))
}

/** What follows the plain fields of a value in version 4 whose name and reason are one character long. */
function tail(value: RequestInputOf<typeof Example>): string {
  return Buffer.concat(Example.encodeRequest(4, value)).toString('hex').slice(38)
}

const ITEM = { key: 'AAECAwQFBgcICQoLDA0ODw', weight: 1.5, port: 65535, size: 4294967295, extra: null }
const LEADER = { id: 3, data: Uint8Array.from([0x78]) }
const NO_LEADER = { id: -1, data: new Uint8Array(0) }

suite('schema', () => {
  test('a value loses what its version cannot carry, and every version reads as the same shape', () => {
    const payload = [Buffer.from('abcdef')]
    deepEqual(roundTrip(1, FULL), {
      old: 'old', id: 7, name: '', reason: null, limit: -1, items: [{ ...ITEM, weight: 0 }], cursor: null, payload, note: '', flags: [],
      leader: NO_LEADER,
    })
    deepEqual(roundTrip(2, FULL), {
      old: 'old', id: 7, name: null, reason: 'because', limit: 5, items: [ITEM], cursor: null, payload, note: 'n', flags: [],
      leader: NO_LEADER,
    })
    deepEqual(roundTrip(3, FULL), {
      old: '', id: 7, name: null, reason: 'because', limit: 5, items: [ITEM], cursor: { at: -1 }, payload, note: 'n', flags: [true, false],
      leader: NO_LEADER,
    })
    deepEqual(roundTrip(4, FULL), {
      old: '', id: 7, name: null, reason: 'because', limit: 5, items: [ITEM], cursor: { at: -1 }, payload, note: 'n', flags: [true, false],
      leader: LEADER,
    })
  })

  test('fields with defaults may be left out or undefined', () => {
    for (const version of [1, 2, 3, 4]) {
      deepEqual(roundTrip(version, { id: 1, name: 'x', items: null, limit: undefined }), {
        old: '', id: 1, name: 'x', reason: null, limit: -1, items: null, cursor: null, payload: null, note: '', flags: [],
        leader: NO_LEADER,
      })
    }
  })

  test('tagged fields are sent in the order of their tags, and only where they differ from their defaults', () => {
    const base = { id: 1, name: 'x', items: null, reason: 'r' }
    equal(tail(base), '00')
    equal(tail({ ...base, note: '', flags: [], leader: { id: -1, data: Buffer.alloc(0) } }), '00')
    equal(tail({ ...base, note: 'n', flags: [true] }), ['02', '00020201', '0102026e'].join(''))
    equal(tail({ ...base, leader: { data: Buffer.alloc(0), id: 2 } }), ['01', '0706', '00000002', '01', '00'].join(''))
  })

  test('unknown tagged fields are skipped, at every level', () => {
    const request = struct({ a: array(struct({ b: int8 })) })
    const api = defineApi({ key: 1, name: 'T', versions: [0, 0], flexible: 0, request, response: struct({}) })
    const frame = hex('02', '05', '02', '00', '03aabbcc', '63', '00', '01', '05', '01ff')
    deepEqual(api.decodeRequest(0, frame), { a: [{ b: 5 }] })
    throws(() => api.decodeRequest(0, frame.subarray(0, -1)), ProtocolError)
  })

  test('a tagged field must be as long as it says', () => {
    const frame = Buffer.concat(Example.encodeRequest(4, { id: 1, name: 'x', items: null, note: 'n' }))
    equal(frame.subarray(-5).toString('hex'), '010102026e')
    const longer = Buffer.concat([frame.subarray(0, -3), hex('03026e00')])
    throws(() => Example.decodeRequest(4, longer), ProtocolError)
  })

  test('null where it is not allowed is an error', () => {
    const frame = hex('0000', '00000001', 'ffff')
    throws(() => Example.decodeRequest(1, frame), /name must not be null in version 1/)
  })

  test('versions that are not declared are errors', () => {
    for (const version of [0, 5, -1, 1.5, Number.NaN]) {
      throws(() => Example.decodeRequest(version, Buffer.alloc(100)), ProtocolError)
      throws(() => Example.encodeRequest(version, FULL), ProtocolError)
    }
  })

  test('payloads are neither copied when they are read nor when they are written', () => {
    const payload = Buffer.alloc(5000, 7)
    const chunks = Example.encodeRequest(4, { id: 1, name: 'x', items: null, payload: [payload] })
    equal(chunks[1], payload)
    const frame = Buffer.concat(chunks)
    const decoded = Example.decodeRequest(4, frame)
    equal(decoded.payload?.length, 1)
    equal(decoded.payload?.[0]?.buffer, frame.buffer)
    deepEqual(Example.decodeRequest(1, Buffer.concat(Example.encodeRequest(1, { id: 1, name: 'x', items: [], payload: [] }))).payload, [])
  })

  test('bytes behind a request are ignored', () => {
    const frame = Buffer.concat([...Example.encodeRequest(4, FULL), Buffer.from('garbage')])
    deepEqual(Example.decodeRequest(4, frame), roundTrip(4, FULL))
  })

  test('a UUID that is absent is the zero UUID', () => {
    const request = struct({ id: uuid.since(1) })
    const api = defineApi({ key: 1, name: 'U', versions: [0, 1], flexible: 9, request, response: struct({}) })
    deepEqual(api.decodeRequest(0, Buffer.alloc(0)), { id: ZERO_UUID })
    deepEqual(api.decodeRequest(1, Buffer.concat(api.encodeRequest(1, {}))), { id: ZERO_UUID })
  })
})
