import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ConfigError, loadConfig } from '../../src/config/load.ts'
import type { ConfigSources, LoadedConfig } from '../../src/config/load.ts'
import { defaultConfig, flagName, presets, sections, settingNames, settingOf, variableName } from '../../src/config/settings.ts'
import type { SettingName } from '../../src/config/settings.ts'

function load(sources: { flags?: ConfigSources['flags']; environment?: ConfigSources['environment']; file?: string }): LoadedConfig {
  const { flags = {}, environment = {}, file } = sources
  const withFile = file === undefined ? flags : { ...flags, '--config': 'bayou.yaml' }
  return loadConfig({ flags: withFile, environment, readFile: () => file ?? assert.fail('no file is given') })
}

function problemsOf(sources: Parameters<typeof load>[0]): readonly string[] {
  try {
    load(sources)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(problem => problem.message)
    throw error
  }
  return []
}

test('without anything given, the defaults are in force and sound', () => {
  const { config, origins } = load({})
  assert.deepEqual(config, defaultConfig())
  assert.deepEqual(new Set(Object.values(origins)), new Set(['default']))
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 9092 })
  assert.equal(config.advertise, null)
  assert.equal(config['log.message.timestamp.before.max.ms'], Number.MAX_SAFE_INTEGER)
})

test('flag beats environment beats file beats profile beats default', () => {
  const file = 'num.partitions: 2\ntable.flush.bytes: 100000\nlane.linger.ms: 7\nprofile: low-cost\n'
  const environment = { BAYOU_NUM_PARTITIONS: '3', BAYOU_TABLE_FLUSH_BYTES: '200000' }
  const { config, origins } = load({ flags: { '--num-partitions': '4' }, environment, file })
  assert.equal(config['num.partitions'], 4)
  assert.equal(config['table.flush.bytes'], 200_000)
  assert.equal(config['lane.linger.ms'], 7)
  assert.equal(config['table.flush.interval.ms'], presets['low-cost']['table.flush.interval.ms'])
  assert.equal(config['lane.segment.bytes'], defaultConfig()['lane.segment.bytes'])
  const shown = ['num.partitions', 'table.flush.bytes', 'lane.linger.ms', 'table.flush.interval.ms', 'lane.segment.bytes'] as const
  assert.deepEqual(
    shown.map(name => origins[name]),
    ['--num-partitions', 'BAYOU_TABLE_FLUSH_BYTES', 'bayou.yaml', 'profile low-cost', 'default'],
  )
})

test('the environment can name the file', () => {
  const { config } = loadConfig({ flags: {}, environment: { BAYOU_CONFIG: 'there.yaml' }, readFile: path => `store: ${path}.d` })
  assert.equal(config.store, 'there.yaml.d')
})

test('the file takes dotted names, nested maps and both at once', () => {
  const { config } = load({ file: 'table:\n  flush:\n    interval.ms: 5000\n  flush.bytes: 70000\nhttp: off\nauto.create.topics.enable: false\n' })
  assert.equal(config['table.flush.interval.ms'], 5000)
  assert.equal(config['table.flush.bytes'], 70_000)
  assert.equal(config.http, null)
  assert.equal(config['auto.create.topics.enable'], false)
})

test('an empty file and an empty variable say nothing', () => {
  assert.deepEqual(load({ file: '# nothing\n', environment: { BAYOU_STORE: '' } }).config.store, './bayou-data')
})

test('every setting can be given as flag, variable and in the file, and its default survives the way through text', () => {
  for (const name of settingNames) {
    if (name === 'config') continue
    const setting = settingOf(name)
    const text = setting.format(setting.default)
    for (const sources of [{ flags: { [flagName(name)]: text } }, { environment: { [variableName(name)]: text } }, { file: `${name}: ${JSON.stringify(text)}` }]) {
      assert.deepEqual(load(sources).config[name], setting.default, `${name} from ${JSON.stringify(sources)}`)
    }
  }
})

test('each setting is in one section of the reference', () => {
  const inSections = sections.flatMap(section => section.names)
  assert.deepEqual([...inSections].sort(), [...settingNames].sort())
})

test('an unknown name stops with its value, its origin and the nearest name', () => {
  assert.deepEqual(problemsOf({ flags: { '--num-partitons': '8' } }), [
    'unknown setting --num-partitons = "8" (from the command line): did you mean --num-partitions?',
  ])
  assert.deepEqual(problemsOf({ environment: { BAYOU_LISTENER: 'x:1' } }), [
    'unknown setting BAYOU_LISTENER = "x:1" (from the environment): did you mean BAYOU_LISTEN?',
  ])
  assert.deepEqual(problemsOf({ file: 'table:\n  flush:\n    interval: 5\n' }), [
    'unknown setting table.flush.interval = 5 (from bayou.yaml): did you mean table.flush.interval.ms?',
  ])
})

test('an impossible value stops with the setting, the value, its origin and what is allowed', () => {
  const cases: [SettingName, string, RegExp][] = [
    ['num.partitions', '0', /^num\.partitions = "0" \(from --num-partitions\): allowed is an integer from 1 to 100000$/],
    ['num.partitions', '1.5', /allowed is an integer/],
    ['num.partitions', '', /allowed is an integer/],
    ['num.partitions', '1e3', /allowed is an integer/],
    ['auto.create.topics.enable', 'yes', /allowed is true or false/],
    ['table.parquet.compression', 'ztsd', /allowed is one of zstd, snappy, none; did you mean zstd\?$/],
    ['listen', 'localhost', /allowed is host:port/],
    ['listen', 'localhost:70000', /allowed is host:port/],
    ['listen', '::1:9092', /allowed is host:port/],
    ['store', 'gs://bucket', /allowed is a path, file:\/\/\/path, s3:\/\/bucket\/prefix or memory:/],
    ['store', 's3://', /allowed is a path/],
    ['store', 'file://relative', /allowed is a path/],
  ]
  for (const [name, value, message] of cases) {
    const problems = problemsOf({ flags: { [flagName(name)]: value } })
    assert.equal(problems.length, 1, `${name}=${value}`)
    assert.match(problems[0]!, message)
  }
})

test('values that people write are taken', () => {
  const { config } = load({
    flags: { '--listen': '[::1]:0', '--http': 'off', '--store': 's3://bucket/a/prefix', '--log-retention-ms': '-1' },
    file: 'log.message.timestamp.before.max.ms: 9223372036854775807\nadvertise: broker-1.example.com:19092\n',
  })
  assert.deepEqual(config.listen, { host: '::1', port: 0 })
  assert.equal(config.http, null)
  assert.equal(config['log.retention.ms'], -1)
  assert.equal(config['log.message.timestamp.before.max.ms'], Number.MAX_SAFE_INTEGER)
  assert.deepEqual(config.advertise, { host: 'broker-1.example.com', port: 19092 })
  for (const store of ['memory:', 'relative/dir', '/absolute', 'file:///x', 's3://my-bucket', './with space']) {
    assert.equal(load({ flags: { '--store': store } }).config.store, store)
  }
})

test('all problems are told at once', () => {
  const problems = problemsOf({ flags: { '--num-partitions': 'x' }, environment: { BAYOU_FOO: '1' }, file: 'profile: fast\n' })
  assert.equal(problems.length, 3)
})

test('settings that contradict each other are told with both names', () => {
  assert.deepEqual(problemsOf({ flags: { '--message-max-bytes': '90000000', '--lane-segment-bytes': '90000000', '--lane-buffer-bytes': '100000000' } }), [])
  assert.deepEqual(problemsOf({ flags: { '--lane-segment-bytes': '90000000' } }), [
    'lane.segment.bytes = "90000000" (from --lane-segment-bytes): allowed is at most lane.buffer.bytes (67108864); lane.buffer.bytes is from default',
  ])
  assert.match(problemsOf({ flags: { '--listen': '0.0.0.0:9092' } })[0]!, /^advertise = "listen".*an address that clients can reach/)
  assert.match(problemsOf({ flags: { '--advertise': '0.0.0.0:9092' } })[0]!, /^advertise = "0\.0\.0\.0:9092"/)
})

test('a file that cannot be used says why', () => {
  assert.match(problemsOf({ file: 'a: [1\n' })[0]!, /^config = "bayou\.yaml": the file is not YAML: /)
  assert.match(problemsOf({ file: '- 1\n' })[0]!, /must hold a map/)
  assert.match(problemsOf({ file: 'config: other.yaml\n' })[0]!, /cannot name another file/)
  assert.match(problemsOf({ file: 'table:\n  flush.bytes: 70000\ntable.flush.bytes: 80000\n' })[0]!, /table\.flush\.bytes is there twice/)
  assert.match(problemsOf({ file: 'store:\n' })[0]!, /store = null \(from bayou\.yaml\)/)
  const missing = { flags: { '--config': '/does/not/exist.yaml' }, environment: {} }
  assert.throws(() => loadConfig(missing), /config = "\/does\/not\/exist\.yaml": the file cannot be read: ENOENT/)
})

test('variables that Kubernetes makes for a Service called bayou are no settings', () => {
  const environment = {
    BAYOU_SERVICE_HOST: '10.0.0.1',
    BAYOU_SERVICE_PORT: '9092',
    BAYOU_SERVICE_PORT_KAFKA: '9092',
    BAYOU_PORT: 'tcp://10.0.0.1:9092',
    BAYOU_PORT_9092_TCP: 'tcp://10.0.0.1:9092',
    BAYOU_PORT_9092_TCP_ADDR: '10.0.0.1',
    BAYOU_HEADLESS_SERVICE_HOST: 'None',
  }
  assert.deepEqual(problemsOf({ environment }), [])
})

test('each setting is read by something', () => {
  const root = new URL('../../src/', import.meta.url)
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(path => path.endsWith('.ts') && !/^config[\\/]setting/.test(path))
  const sources = files.map(path => readFileSync(new URL(path, root), 'utf8')).join('\n')
  // A name without dots may be taken out of the config by destructuring.
  const isRead = (name: string): boolean =>
    sources.includes(`'${name}'`) || (!name.includes('.') && new RegExp(`config\\.${name}\\b|\\{ ${name} \\} = config`).test(sources))
  assert.deepEqual(settingNames.filter(name => !isRead(name)), [])
})
