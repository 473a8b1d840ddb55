/** ConfigResource types of the protocol, and those of them whose configs are in src/cluster/resource-configs.ts. */
import type { ResourceKind } from '../../storage/journal/entries.ts'

export const TOPIC = 2
export const BROKER = 4
export const BROKER_LOGGER = 8
export const CLIENT_METRICS = 16
export const GROUP = 32

export const resourceKinds: ReadonlyMap<number, ResourceKind> = new Map([
  [CLIENT_METRICS, 'client-metrics'],
  [GROUP, 'group'],
])
