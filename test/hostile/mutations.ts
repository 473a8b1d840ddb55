/** What hostile clients do to a valid request, knowing its structure; at the end a frame, or what pretends to be one. */
import * as fc from 'fast-check'
import { lengthBytes, piecesOf, sized } from './pieces.ts'
import type { Piece } from './pieces.ts'
import type { ValidRequest } from './valid-requests.ts'

/** `at` and `choice` are taken modulo what there is. */
export interface Mutation {
  readonly kind: (typeof kinds)[number]
  readonly at: number
  readonly choice: number
  readonly bytes: Uint8Array
}

const kinds = [
  /** A length or a count that is negative, short, long or huge. */
  'length', 'length', 'length',
  /** A length in bytes that no writer writes. */
  'varint',
  /** Null where there was a value, or a value of nothing where there was null. */
  'null',
  /** A number at the edge of its type. */
  'number',
  /** Other bytes of the same length, or of another one that is told or not. */
  'content',
  /** Tagged fields that nobody knows: twice the same tag, out of order, longer than the rest. */
  'tags',
  'drop', 'repeat', 'swap', 'flip', 'cut', 'grow',
  /** The length in front of the frame, against what follows. */
  'frame',
] as const

export const mutations: fc.Arbitrary<readonly Mutation[]> = fc.array(
  fc.record<Mutation>({ kind: fc.constantFrom(...kinds), at: fc.nat(), choice: fc.nat(), bytes: fc.uint8Array({ maxLength: 24 }) }),
  { maxLength: 3, size: 'max' },
)

const values = [-(2 ** 31), -129, -2, -1, 0, 1, 127, 128, 255, 32_767, 65_535, 1_000_000, 2 ** 24, 2 ** 31 - 2, 2 ** 31 - 1] as const
const varints = ['ffffffffffffffffff01', 'ffffffff0f', 'ffffffff7f', '8080808000', 'ffffffff07', '80', '00'].map(text => Buffer.from(text, 'hex'))
const frames = [-(2 ** 31), -1, 0, 1, 3, 4, 104_857_600, 104_857_601, 2 ** 31 - 1] as const

/** The frame with its length in front. Without mutations it is valid. */
export function frameOf({ api, version, request }: ValidRequest, changes: readonly Mutation[], correlationId = 1): Buffer {
  let pieces = piecesOf(api, version, correlationId, request)
  for (const change of changes) pieces = changed(pieces, change)
  let body = Buffer.concat(pieces.map(({ bytes }) => bytes))
  let length: number | null = null
  for (const { kind, at, choice, bytes } of changes) {
    if (kind === 'cut') body = body.subarray(0, at % (body.length + 1))
    if (kind === 'grow') body = Buffer.concat([body, bytes, bytes])
    if (kind === 'flip' && body.length > 0) {
      body = Buffer.from(body)
      bytes.subarray(0, 4).forEach((byte, index) => (body[(at + index * choice) % body.length] = byte))
    }
    if (kind === 'frame') length = choice % 3 === 0 ? frames[at % frames.length]! : body.length + (at % 9) - 4
  }
  const frame = Buffer.concat([Buffer.alloc(4), body])
  frame.writeInt32BE(length ?? body.length)
  return frame
}

function changed(pieces: readonly Piece[], { kind, at, choice, bytes }: Mutation): Piece[] {
  const copy = [...pieces]
  const lengths = pieces.flatMap((piece, index) => ('form' in piece ? [index] : []))
  const numbers = pieces.flatMap((piece, position) => (piece.kind === 'fixed' ? [position] : []))
  const contents = pieces.flatMap((piece, position) => (piece.kind === 'content' && position > 0 ? [position] : []))
  // Earlier mutations may have dropped what this one needs.
  if (lengths.length === 0 || numbers.length === 0 || contents.length === 0) return copy
  const target = lengths[at % lengths.length]!
  const sizedPiece = pieces[target]! as Extract<Piece, { form: unknown }>
  const index = at % pieces.length
  switch (kind) {
    case 'length': {
      const near = [sizedPiece.value - 1, sizedPiece.value + 1, sizedPiece.value * 2]
      const value = choice % 2 === 0 ? near[choice % near.length]! : values[choice % values.length]!
      copy[target] = { ...sizedPiece, bytes: lengthBytes(sizedPiece.form, value) }
      break
    }
    case 'varint': copy[target] = { ...sizedPiece, bytes: varints[choice % varints.length]! }
      break
    case 'null': copy[target] = sized(sizedPiece.kind, sizedPiece.form, sizedPiece.value === -1 ? 0 : -1)
      break
    case 'number': {
      const position = numbers[at % numbers.length]!
      copy[position] = { kind: 'fixed', bytes: edge(pieces[position]!.bytes.length, choice) }
      break
    }
    case 'content': {
      const position = contents[at % contents.length]!
      const before = pieces[position - 1]!
      copy[position] = { kind: 'content', bytes: Buffer.from(bytes) }
      if (choice % 2 === 0 && 'form' in before) copy[position - 1] = sized(before.kind, before.form, bytes.length)
      break
    }
    case 'tags': copy.splice(target, 1, { kind: 'fixed', bytes: tags(choice, bytes) })
      break
    case 'drop': copy.splice(index, 1 + (choice % 3))
      break
    case 'repeat': copy.splice(index, 0, ...Array<Piece>((choice % 40) + 1).fill(pieces[index]!))
      break
    case 'swap': {
      const other = choice % pieces.length
      copy[index] = pieces[other]!
      copy[other] = pieces[index]!
      break
    }
    // Done to the bytes of the whole.
    case 'flip':
    case 'cut':
    case 'grow':
    case 'frame':
      break
  }
  return copy
}

/** All zeros, all ones, the largest, the smallest. */
function edge(length: number, choice: number): Buffer {
  const bytes = Buffer.alloc(length, choice % 2 === 0 ? 0 : 0xff)
  if (length > 0 && choice % 4 >= 2) bytes[0] = choice % 2 === 0 ? 0x80 : 0x7f
  return bytes
}

function tags(choice: number, content: Uint8Array): Buffer {
  const one = (tag: number, length: number): Buffer => Buffer.concat([lengthBytes('uvarint', tag), lengthBytes('uvarint', length), content])
  const size = content.length
  const several = [
    [one(99, size), one(99, size)],
    [one(99, size), one(7, size)],
    [one(0, size)],
    [one(1, size + 1)],
    [one(99, 2 ** 31 - 1)],
    [one(-1, size)],
  ]
  const chosen = several[choice % several.length]!
  return Buffer.concat([lengthBytes('uvarint', choice % 7 === 0 ? 2 ** 28 : chosen.length), ...chosen])
}
