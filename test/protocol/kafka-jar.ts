/** Reads Kafka's message definitions out of the kafka-clients jar, wherever `scripts/fetch-kafka-clients.sh` would find it. */
import { Buffer } from 'node:buffer'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { inflateRawSync } from 'node:zlib'

export const KAFKA_VERSION = '4.3.1'

/** A field of Kafka's definition language (common/message/README.md in the jar). */
export interface KafkaField {
  readonly name: string
  readonly type: string
  readonly versions: string
  readonly nullableVersions?: string
  readonly taggedVersions?: string
  readonly tag?: number
  readonly default?: string | number | boolean
  readonly fields?: readonly KafkaField[]
}

export interface KafkaMessage {
  readonly apiKey: number
  readonly type: 'request' | 'response'
  readonly name: string
  readonly validVersions: string
  readonly flexibleVersions?: string
  readonly fields: readonly KafkaField[]
  readonly commonStructs?: readonly { readonly name: string, readonly fields: readonly KafkaField[] }[]
}

/** The path of the jar, or undefined where there is none. */
export function findKafkaJar(): string | undefined {
  const named = process.env['KAFKA_CLIENTS_JAR']
  if (named !== undefined && named !== '') return named
  const jar = join(homedir(), '.m2/repository/org/apache/kafka/kafka-clients', KAFKA_VERSION, `kafka-clients-${KAFKA_VERSION}.jar`)
  return existsSync(jar) ? jar : undefined
}

/** All requests and responses that the jar defines, by name (`FetchRequest`). */
export function readKafkaMessages(jar: string): ReadonlyMap<string, KafkaMessage> {
  const messages = new Map<string, KafkaMessage>()
  for (const [name, content] of zipEntries(readFileSync(jar), /^common\/message\/\w+(Request|Response)\.json$/)) {
    const message = JSON.parse(withoutComments(content.toString('utf8'))) as KafkaMessage
    if (`common/message/${message.name}.json` !== name) throw new Error(`${name} defines ${message.name}`)
    messages.set(message.name, message)
  }
  return messages
}

function withoutComments(json: string): string {
  return json.replaceAll(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*/g, (match) => (match.startsWith('"') ? match : ''))
}

/** The files of a zip archive whose names match (PKWARE APPNOTE 4.3: central directory, local headers; stored or deflated). */
function* zipEntries(zip: Buffer, pattern: RegExp): Generator<[string, Buffer]> {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  let at = zip.readUInt32LE(end + 16)
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    const method = zip.readUInt16LE(at + 10)
    const compressedLength = zip.readUInt32LE(at + 20)
    const nameLength = zip.readUInt16LE(at + 28)
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength)
    const local = zip.readUInt32LE(at + 42)
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
    if (!pattern.test(name)) continue
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const content = zip.subarray(start, start + compressedLength)
    yield [name, method === 0 ? content : inflateRawSync(content)]
  }
}
