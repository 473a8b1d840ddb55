/**
 * Which metrics of which clients are wanted, and what becomes of those that they push (KIP-714). Subscriptions are configs of client-metrics
 * resources; the values go to Prometheus, by client id and name. Who asks or pushes more often than agreed is told so.
 */
import { decompress } from '../../protocol/records/compression.ts'
import { DecompressionError } from '../../protocol/records/errors.ts'
import { KafkaError } from '../../protocol/errors.ts'
import { ZERO_UUID } from '../../protocol/schema/field.ts'
import type { Env } from '../../storage/env.ts'
import { OtlpError, readMetrics } from '../metrics/otlp.ts'
import type { PushedPoint } from '../metrics/otlp.ts'
import { wholePattern } from './resource-configs.ts'
import type { ResourceConfigs } from './resource-configs.ts'

/** As Kafka's telemetry.max.bytes, of a push before it is decompressed. */
export const telemetryBytesMax = 1024 * 1024
/** What a push may be decompressed. */
const DECOMPRESSED_BYTES_MAX = 8 * 1024 * 1024
const POINTS_MAX = 5000
const INTERVAL_DEFAULT_MS = 300_000
/** Instances that are remembered; the longest silent ones are forgotten first and ask again. */
const INSTANCES_MAX = 10_000
const ATTRIBUTE_LENGTH_MAX = 255
const CODEC_MAX = 4

/** What subscriptions are matched against. */
export interface TelemetryClient {
  readonly clientId: string | null
  readonly softwareName: string
  readonly softwareVersion: string
  readonly address: string
}

export interface Subscription {
  readonly clientInstanceId: string
  readonly subscriptionId: number
  readonly pushIntervalMs: number
  /** Prefixes; one empty prefix asks for all, none for nothing. */
  readonly metrics: readonly string[]
}

interface Instance {
  subscription: Subscription
  askedAtMs: number
  pushedAtMs: number
  /** The last push was refused in a way that makes a client ask again at once. */
  mayAskAgain: boolean
  terminated: boolean
}

export interface ClientTelemetryDependencies {
  readonly env: Env
  readonly resourceConfigs: ResourceConfigs
  readonly pushed: (clientId: string, points: readonly PushedPoint[]) => void
}

export class ClientTelemetry {
  readonly #deps: ClientTelemetryDependencies
  readonly #instances = new Map<string, Instance>()

  constructor(deps: ClientTelemetryDependencies) {
    this.#deps = deps
  }

  /** What a client is to push, or an error code. A client without an id is given one. */
  subscribe(clientInstanceId: string, client: TelemetryClient): Subscription | number {
    const { env } = this.#deps
    const nowMs = env.clock.monotonic()
    const known = this.#instances.get(clientInstanceId)
    if (known !== undefined && !known.mayAskAgain && nowMs < known.askedAtMs + known.subscription.pushIntervalMs && this.#isCurrent(known, client)) {
      return KafkaError.THROTTLING_QUOTA_EXCEEDED
    }
    const id = clientInstanceId === ZERO_UUID ? env.uuid() : clientInstanceId
    const subscription = this.#subscriptionOf(id, client)
    this.#instances.delete(id)
    this.#instances.set(id, { subscription, askedAtMs: nowMs, pushedAtMs: known?.pushedAtMs ?? -Infinity, mayAskAgain: false, terminated: false })
    for (const oldest of this.#instances.keys()) {
      if (this.#instances.size <= INSTANCES_MAX) break
      this.#instances.delete(oldest)
    }
    return subscription
  }

  /** Takes what a client pushes; an error code. */
  push(
    request: { readonly clientInstanceId: string; readonly subscriptionId: number; readonly terminating: boolean; readonly compressionType: number; readonly metrics: Uint8Array },
    client: TelemetryClient,
  ): number {
    if (request.clientInstanceId === ZERO_UUID) return KafkaError.INVALID_REQUEST
    const instance = this.#instances.get(request.clientInstanceId)
    if (instance === undefined) return KafkaError.UNKNOWN_SUBSCRIPTION_ID
    if (instance.terminated) return KafkaError.INVALID_REQUEST
    const nowMs = this.#deps.env.clock.monotonic()
    // Clocks differ a little, and clients shorten their first wait on purpose: half of the interval is enough.
    if (!request.terminating && nowMs < instance.pushedAtMs + instance.subscription.pushIntervalMs / 2) return KafkaError.THROTTLING_QUOTA_EXCEEDED
    instance.pushedAtMs = nowMs
    if (request.subscriptionId !== instance.subscription.subscriptionId || !this.#isCurrent(instance, client)) {
      instance.mayAskAgain = true
      return KafkaError.UNKNOWN_SUBSCRIPTION_ID
    }
    if (request.compressionType < 0 || request.compressionType > CODEC_MAX) {
      instance.mayAskAgain = true
      return KafkaError.UNSUPPORTED_COMPRESSION_TYPE
    }
    instance.terminated = request.terminating
    if (request.metrics.length > telemetryBytesMax) return KafkaError.TELEMETRY_TOO_LARGE
    try {
      if (request.metrics.length === 0) return KafkaError.NONE
      const data = decompress(request.compressionType, request.metrics, { maxBytes: DECOMPRESSED_BYTES_MAX })
      const wanted = instance.subscription.metrics
      const points = readMetrics(data, POINTS_MAX).filter(({ name }) => wanted.some((prefix) => name.startsWith(prefix)))
      this.#deps.pushed(client.clientId ?? '', points)
      return KafkaError.NONE
    } catch (error) {
      if (error instanceof DecompressionError) return error.reason === 'too-large' ? KafkaError.TELEMETRY_TOO_LARGE : KafkaError.INVALID_RECORD
      if (error instanceof OtlpError) return KafkaError.INVALID_RECORD
      throw error
    }
  }

  /** Whether the subscription that an instance was told is still what the configs say. */
  #isCurrent({ subscription }: Instance, client: TelemetryClient): boolean {
    return this.#subscriptionOf(subscription.clientInstanceId, client).subscriptionId === subscription.subscriptionId
  }

  #subscriptionOf(clientInstanceId: string, client: TelemetryClient): Subscription {
    const metrics = new Set<string>()
    let pushIntervalMs = Infinity
    for (const { configs } of this.#deps.resourceConfigs.all('client-metrics')) {
      const names = listOf(configs['metrics'] ?? '')
      if (names.length === 0 || !fits(configs['match'] ?? '', clientInstanceId, client)) continue
      for (const name of names) metrics.add(name === '*' ? '' : name)
      pushIntervalMs = Math.min(pushIntervalMs, Number(configs['interval.ms'] ?? INTERVAL_DEFAULT_MS))
    }
    if (pushIntervalMs === Infinity) pushIntervalMs = INTERVAL_DEFAULT_MS
    const prefixes = metrics.has('') ? [''] : Array.from(metrics).toSorted()
    return { clientInstanceId, subscriptionId: hashOf(JSON.stringify([pushIntervalMs, prefixes])), pushIntervalMs, metrics: prefixes }
  }
}

function fits(match: string, clientInstanceId: string, client: TelemetryClient): boolean {
  const attributes: Readonly<Record<string, string>> = {
    client_instance_id: clientInstanceId,
    client_id: client.clientId ?? '',
    client_software_name: client.softwareName,
    client_software_version: client.softwareVersion,
    client_source_address: client.address,
  }
  return listOf(match).every((item) => {
    const at = item.indexOf('=')
    const value = attributes[item.slice(0, at).trim()] ?? ''
    return value.length <= ATTRIBUTE_LENGTH_MAX && wholePattern(item.slice(at + 1))?.test(value) === true
  })
}

function listOf(value: string): string[] {
  return value.split(',').map((item) => item.trim()).filter((item) => item !== '')
}

/** FNV-1a, 31 bits: the same subscription has the same id on every broker. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash & 0x7fff_ffff
}
