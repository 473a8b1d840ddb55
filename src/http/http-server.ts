/**
 * Health, metrics and a look at the topics, for operators and their tools. Nothing here changes anything.
 *
 *   /health/live   200 while the event loop turns
 *   /health/ready  200 when clients can be served, else 503 with the reason
 *   /metrics       Prometheus text
 *   /v1/topics     names, ids, partition counts
 *   /v1/topics/x   offsets of each partition, the table and what is not in it yet
 */
import { fastify } from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import type { Address } from '../config/setting.ts'
import type { Logger } from '../logging.ts'
import type { HttpSource } from './http-source.ts'

export interface HttpServer {
  /** With the real port. */
  readonly address: Address
  /** Cuts off requests that are still open. */
  close(): Promise<void>
}

export interface HttpOptions {
  readonly address: Address
  readonly source: HttpSource
  readonly registry: Registry
  readonly log: Logger
}

/** Nothing here takes a body. */
const bodyBytesMax = 1024
const requestMs = 30_000

/** Rejects with the system's error when the address cannot be bound. */
export async function startHttpServer({ address, source, registry, log }: HttpOptions): Promise<HttpServer> {
  const app = fastify({
    bodyLimit: bodyBytesMax,
    requestTimeout: requestMs,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 249 },
    // No route has a schema: without these, fastify loads a validator for schemas all the same.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  })
  app.setNotFoundHandler((request, reply) => reply.code(404).send({ error: `no such path: ${request.url}` }))
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) log.error({ err: error, path: request.url }, 'an HTTP request failed')
    return reply.code(status).send({ error: status >= 500 ? 'internal error' : error.message })
  })
  health(app, source)
  topics(app, source)
  app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()))
  await app.listen({ host: address.host, port: address.port })
  const bound = app.server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return { address: { host: address.host, port }, close: () => app.close() }
}

function noSchemas(): never {
  throw new Error('no route has a schema')
}

function health(app: FastifyInstance, source: HttpSource): void {
  app.get('/health/live', () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    const reason = await source.notReady()
    return reason === null ? { status: 'ready' } : reply.code(503).send({ status: 'not ready', reason })
  })
}

function topics(app: FastifyInstance, source: HttpSource): void {
  app.get('/v1/topics', () => ({ topics: source.topics() }))
  app.get<{ Params: { name: string } }>('/v1/topics/:name', async (request, reply) => {
    const topic = await source.topic(request.params.name)
    if (topic === null) return reply.code(404).send({ error: `no such topic: ${request.params.name}` })
    const partitions = topic.partitions.map(partition => ({
      ...partition,
      unflushedRecords: Math.max(0, partition.highWatermark - partition.flushedOffset),
    }))
    const unflushedRecords = partitions.reduce((sum, partition) => sum + partition.unflushedRecords, 0)
    return { ...topic, partitions, table: { ...topic.table, unflushedRecords } }
  })
}
