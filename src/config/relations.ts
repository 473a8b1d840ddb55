/** Limits that only make sense together. Each relation is checked at start, over the values that are in force. */
import type { Config, SettingName } from './settings.ts'

export interface RelationProblem {
  /** The setting to change, and the one that it collides with. */
  readonly name: SettingName
  readonly other: SettingName
  readonly allowed: string
}

const wildcards = new Set(['0.0.0.0', '::', '0:0:0:0:0:0:0:0'])

/** The relations that `config` breaks; empty when it is sound. */
export function brokenRelations(config: Config): readonly RelationProblem[] {
  const problems: RelationProblem[] = []
  const atMost = (name: SettingName & NumberSetting, other: SettingName & NumberSetting): void => {
    if (config[name] > config[other]) problems.push({ name, other, allowed: `at most ${other} (${config[other]})` })
  }
  const below = (name: SettingName & NumberSetting, other: SettingName & NumberSetting): void => {
    if (config[name] >= config[other]) problems.push({ name, other, allowed: `less than ${other} (${config[other]})` })
  }
  atMost('message.max.bytes', 'lane.segment.bytes')
  atMost('message.max.bytes', 'socket.request.max.bytes')
  atMost('lane.segment.bytes', 'lane.buffer.bytes')
  atMost('socket.request.max.bytes', 'queued.max.request.bytes')
  atMost('group.min.session.timeout.ms', 'group.max.session.timeout.ms')
  atMost('group.consumer.min.session.timeout.ms', 'group.consumer.session.timeout.ms')
  atMost('group.consumer.session.timeout.ms', 'group.consumer.max.session.timeout.ms')
  atMost('group.consumer.min.heartbeat.interval.ms', 'group.consumer.heartbeat.interval.ms')
  atMost('group.consumer.heartbeat.interval.ms', 'group.consumer.max.heartbeat.interval.ms')
  below('group.consumer.heartbeat.interval.ms', 'group.consumer.session.timeout.ms')
  if (config.advertise === null && wildcards.has(config.listen.host)) {
    problems.push({ name: 'advertise', other: 'listen', allowed: 'an address that clients can reach, as listen is on all interfaces' })
  }
  if (config.advertise !== null && wildcards.has(config.advertise.host)) {
    problems.push({ name: 'advertise', other: 'listen', allowed: 'an address that clients can reach, not all interfaces' })
  }
  return problems
}

type NumberSetting = { [Name in SettingName]: Config[Name] extends number ? Name : never }[SettingName]
