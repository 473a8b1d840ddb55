/**
 * Writes docs/COMPATIBILITY.md: which APIs and versions are served, what is left out of each, whose test suites pass, which KIPs are done. All
 * of it is taken from where it is true: the registry, the header comment of each handler, what Kafka's own client was last seen to understand
 * (test/conformance/every-version.json), the lists of the conformance suites.
 *
 * `--check` writes nothing and fails when the file is not up to date.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { registry } from '../src/api/registry.ts'
import { recordedResults } from '../test/conformance/every-version-results.ts'
import { areas, kafkaApis } from './kafka-apis.ts'

const root = new URL('../', import.meta.url)
const target = fileURLToPath(new URL('docs/COMPATIBILITY.md', root))

/** The suites that run against a broker of ours, and how many of their tests Kafka 4.3.1 passes in the same setting; null where that was not measured. */
const suites = [
  { list: 'librdkafka', client: 'librdkafka 2.15.1, and with it the clients for Python, Go, .NET, PHP, Rust', what: 'its own tests that talk to a broker, full mode', onKafka: 90 },
  { list: 'librdkafka-consumer', client: 'the same, with `group.protocol=consumer`', what: 'those of its tests that have a consumer group', onKafka: null },
  { list: 'apache-tools', client: 'Apache Kafka 4.3.1, Java', what: 'flows with the command-line tools', onKafka: 51 },
  { list: 'kcat', client: 'kcat 1.7.1', what: 'flows', onKafka: 28 },
  { list: 'kafka-python', client: 'kafka-python 3.0.12, confluent-kafka', what: 'its integration tests', onKafka: 70 },
] as const

/** Tests of our own with clients in Go (test/clients/go), all of which must pass here; and how many of them Kafka 4.3.1 passes: it is not killed, and has what is refused here; null where they were not all held against it yet. */
const goClients = [
  { folder: 'sarama', module: 'github.com/IBM/sarama', client: 'sarama', onKafka: 43 },
  { folder: 'franz', module: 'github.com/twmb/franz-go', client: 'franz-go', onKafka: 38 },
] as const

const results = recordedResults()

/** What the KIPs that handlers name are about. */
const kips: Readonly<Record<number, string>> = {
  48: 'Delegation tokens',
  55: 'Client quotas per user',
  74: 'Limits on the size of a fetch answer',
  84: 'SASL/SCRAM',
  98: 'Idempotent producers and transactions',
  107: 'Deleting records before an offset',
  110: 'zstd',
  113: 'Replicas in log directories',
  124: 'Quotas on request time',
  133: 'Describing and altering configs',
  140: 'Managing ACLs',
  152: 'Errors of SASL authentication',
  183: 'Electing preferred leaders',
  195: 'Creating partitions',
  219: 'Throttled answers',
  226: 'Dynamic broker configs',
  227: 'Incremental fetch sessions',
  229: 'Deleting groups',
  255: 'OAuth bearer tokens',
  290: 'ACLs on prefixes',
  320: 'Leader epochs for consumers',
  339: 'Incremental changes of configs',
  345: 'Static members of groups',
  360: 'Epochs that producers raise themselves',
  368: 'Re-authentication',
  392: 'Fetching from the closest replica',
  394: 'Member ids before the first join',
  405: 'Tiered storage',
  412: 'Log levels of brokers',
  430: 'Authorised operations in answers',
  447: 'Transactions of consumer groups',
  455: 'Reassigning partitions',
  460: 'Electing leaders',
  464: 'Default partitions and replication factor',
  467: 'Errors of single records',
  496: 'Deleting offsets',
  511: 'Names and versions of client software',
  516: 'Topic ids',
  518: 'Listing groups by state',
  525: 'Configs in the answer to CreateTopics',
  546: 'Managing client quotas',
  554: 'Managing SCRAM credentials',
  559: 'The protocol of a group in SyncGroup',
  569: 'Documentation and types of configs',
  584: 'Feature levels',
  588: 'Fenced producers recover',
  595: 'The Raft quorum',
  599: 'Quotas of controller mutations',
  612: 'Limits on connection rates',
  664: 'Finding hanging transactions',
  699: 'Many coordinators in one request',
  700: 'Describing the cluster',
  709: 'Offsets of many groups in one request',
  714: 'Client metrics',
  734: 'The offset of the largest timestamp',
  778: 'Changing feature levels',
  800: 'Reasons for leaving a group',
  814: 'Static leaders skip the assignment',
  827: 'Sizes of volumes',
  836: 'Lag of quorum voters',
  848: 'The consumer group protocol',
  853: 'Changing the quorum',
  890: 'Transactions defended by the server',
  903: 'Fetches of fenced replicas',
  919: 'Clients of controllers',
  932: 'Share groups',
  939: 'Two-phase commit',
  951: 'New leaders in answers',
  966: 'Eligible leader replicas; partitions page by page',
  994: 'Filters for transactions',
  996: 'Pre-vote',
  1000: 'Listing client metrics resources',
  1005: 'The latest tiered offset',
  1022: 'Finalised features',
  1023: 'Pending uploads',
  1043: 'Groups of unknown types',
  1071: 'Streams groups',
  1073: 'Fenced brokers in descriptions',
  1075: 'A timeout for ListOffsets',
  1099: 'Member types in descriptions',
  1102: 'Rebootstrapping clients',
  1142: 'Listing config resources',
  1152: 'Filters for transactional ids',
  1160: 'Supported features',
  1228: 'Transaction versions in markers',
}

export function compatibilityDocument(): string {
  const headers = readHeaders()
  return `${[
    '# Compatibility',
    'This file is generated: `node scripts/generate-compatibility.ts` writes it from the registry of the APIs, the comments at the head of their handlers, what Kafka\'s own Java client was last '
    + 'seen to understand and the lists of the conformance suites.',
    'What is advertised is what is in this table. The column "Passed" says in how many of these versions the message classes of Apache Kafka\'s Java client asked a running broker, read the answer to '
    + 'its last byte, wrote it again to the same bytes and found in it what Kafka answers: `node --test test/conformance/every-version.ts`, in CI; the same program passes against Apache Kafka 4.3.1. '
    + 'The tests of the APIs can be held against a real Kafka, too (`TEST_KAFKA=host:port node --test test/api/*.test.ts`); what differs on purpose is marked in them.',
    '## APIs',
    apiTable(headers),
    'Produce is advertised from version 0 and served from version 3, as Kafka 4 does for the sake of old librdkafka (KAFKA-18659).',
    '## Not implemented',
    'These APIs of Kafka 4.3 are not advertised, so clients know before they ask.',
    missing(),
    '## What was seen',
    'In the newest version of each API; with older versions as far as they go.',
    seenTable(),
    '## Clients',
    clientTable(),
    'sarama and franz-go run as clients of Kafka 2.1, 3.6 and the newest version that they know (`node test/clients/go/run.ts`). Tests that kill the broker, and those of what is refused here, are not for Kafka.',
    'The .NET client (Confluent.Kafka) is a binding of librdkafka, whose protocol, groups and retries are those of the first row; the binding itself was not run.',
    'What is left out here, with the reason:',
    leftOutOfSuites(),
    'kafkajs and @platformatic/kafka run in `npm test`, kill -9 included. The suites run with `node test/conformance/run.ts` where they are at hand; the lists of what must pass are in `test/conformance/` and only grow.',
    '## KIPs',
    'As far as the handlers name them.',
    kipTable(headers),
  ].join('\n\n')}\n`
}

// ---- what the handlers say ----------------------------------------------------------------------------------------------------------

interface HandlerHeader {
  readonly key: number
  /** In one line. */
  readonly text: string
  /** What stands behind "Not done:", null where nothing does. */
  readonly leftOut: string | null
}

function readHeaders(): ReadonlyMap<number, HandlerHeader> {
  const folder = new URL('src/api/', root)
  const files = readdirSync(folder).filter(name => /^\d+-.*\.ts$/.test(name))
  return new Map(files.map((name) => {
    const text = headerComment(readFileSync(new URL(name, folder), 'utf8'))
    const key = Number.parseInt(name, 10)
    const leftOut = /(?:Not done|Left out): (.*)$/.exec(text)?.[1]?.replace(/\.$/, '') ?? null
    return [key, { key, text, leftOut }]
  }))
}

/** The comment that a file begins with, as one line of text. */
function headerComment(source: string): string {
  const lines = source.startsWith('/*')
    ? source.slice(3, source.indexOf('*/')).split('\n').map(line => line.replace(/^ *\* ?/, ''))
    : source.split('\n').slice(0, source.split('\n').findIndex(line => !line.startsWith('//'))).map(line => line.replace(/^\/\/ ?/, ''))
  return lines.join(' ').replaceAll(/\s+/g, ' ').trim()
}

function apiTable(headers: ReadonlyMap<number, HandlerHeader>): string {
  const rows = registry.toSorted((a, b) => a.api.key - b.api.key).map(({ api, versions }) => {
    const kafka = kafkaApis.find(({ key }) => key === api.key)
    const advertised: readonly [number, number] = api.key === 0 ? [0, versions[1]] : versions
    const count = advertised[1] - advertised[0] + 1
    const passed = results.find(({ key }) => key === api.key)?.passed ?? 0
    return [String(api.key), api.name, range(advertised), kafka === undefined ? 'none' : range(kafka.versions), `${passed} of ${count}`, headers.get(api.key)?.leftOut ?? '']
  })
  return table(['Key', 'API', 'Bayou', 'Kafka 4.3', 'Passed', 'Left out'], rows)
}

function seenTable(): string {
  return table(['API', 'Version', 'Seen by Kafka\'s own client'], results.map(({ name, last, seen }) => [name, String(last), seen]))
}

function missing(): string {
  const served = new Set(registry.map(({ api }) => api.key))
  return Object.entries(areas)
    .map(([area, title]) => ({ title, apis: kafkaApis.filter(api => api.area === area && !served.has(api.key)) }))
    .filter(({ apis }) => apis.length > 0)
    .map(({ title, apis }) => `- ${title}: ${apis.map(({ key, name }) => `${name} (${key})`).join(', ')}.`)
    .join('\n')
}

// ---- clients and KIPs ---------------------------------------------------------------------------------------------------------------

function clientTable(): string {
  return table(['Client', 'Suite', 'Passes here', 'Passes on Kafka 4.3.1'], [
    ...suites.map(({ list, client, what, onKafka }) => [client, what, String(allowed(list) ?? 'not run yet'), String(onKafka ?? 'not measured')]),
    ...goClients.map(({ folder, module, client, onKafka }) => [`${client} ${goVersion(module)}`, 'our own tests', String(goTests(folder)), String(onKafka ?? 'not measured')]),
  ])
}

function goVersion(module: string): string {
  const [, version] = new RegExp(`${module} v(\\S+)`).exec(readFileSync(new URL('test/clients/go/go.mod', root), 'utf8')) ?? []
  if (version === undefined) throw new Error(`go.mod does not name ${module}`)
  return version
}

function goTests(folder: string): number {
  const files = readdirSync(new URL(`test/clients/go/${folder}/`, root)).filter(name => name.endsWith('_test.go'))
  return files.reduce((count, name) => count + [...readFileSync(new URL(`test/clients/go/${folder}/${name}`, root), 'utf8').matchAll(/^func Test/gm)].length, 0)
}

/** How many names are on the list of what must pass; null where there is no list. */
function allowed(list: string): number | null {
  return linesOf(list)?.filter(line => line.replace(/#.*/, '').trim() !== '').length ?? null
}

/** The lines `# not here: NAME, NAME — REASON` of the lists. */
function leftOutOfSuites(): string {
  const rows = suites.flatMap(({ list }) => (linesOf(list) ?? []).flatMap((line) => {
    const [, names = '', reason = ''] = /^# not here: (.*) — (.*)$/.exec(line) ?? []
    return names === '' ? [] : [[list, names.split(', ').map(name => `\`${name}\``).join(', '), reason]]
  }))
  return table(['Suite', 'Test', 'Why'], rows)
}

function linesOf(list: string): readonly string[] | null {
  const file = new URL(`test/conformance/${list}.allow`, root)
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : null
}

function kipTable(headers: ReadonlyMap<number, HandlerHeader>): string {
  const found = new Map<number, { done: string[]; leftOut: string[] }>()
  for (const { api } of registry.toSorted((a, b) => a.api.key - b.api.key)) {
    const header = headers.get(api.key)
    if (header === undefined) continue
    for (const [kip, done] of kipsIn(header)) {
      const entry = found.get(kip) ?? { done: [], leftOut: [] }
      found.set(kip, entry)
      ;(done ? entry.done : entry.leftOut).push(api.name)
    }
  }
  const rows = [...found].toSorted(([a], [b]) => a - b).map(([kip, { done, leftOut }]) => {
    const state = leftOut.length === 0 ? 'done' : done.length === 0 ? 'left out' : 'in part'
    return [`KIP-${kip}`, kips[kip] ?? '', state, done.join(', '), leftOut.join(', ')]
  })
  return table(['KIP', 'About', 'State', 'Done in', 'Left out in'], rows)
}

/** KIP → whether it is done, from the sentences that name it. */
function kipsIn({ text, leftOut }: HandlerHeader): Map<number, boolean> {
  const done = new Map<number, boolean>()
  const told = leftOut === null ? text : text.slice(0, text.lastIndexOf(leftOut))
  for (const clause of told.split(/[.;] /)) {
    for (const kip of numbersIn(clause)) done.set(kip, !/not supported|does not exist here/.test(clause))
  }
  for (const kip of numbersIn(leftOut ?? '')) done.set(kip, false)
  return done
}

function numbersIn(text: string): number[] {
  return Array.from(text.matchAll(/KIP-(\d+)/g), ([, number]) => Number(number))
}

// ---- words --------------------------------------------------------------------------------------------------------------------------

function range([first, last]: readonly [number, number]): string {
  return first === last ? String(first) : `${first}–${last}`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

if (import.meta.main) {
  const wanted = compatibilityDocument()
  if (!process.argv.includes('--check')) {
    writeFileSync(target, wanted)
  } else if (!existsSync(target) || readFileSync(target, 'utf8') !== wanted) {
    console.error('docs/COMPATIBILITY.md is not up to date: run node scripts/generate-compatibility.ts')
    process.exitCode = 1
  }
}
