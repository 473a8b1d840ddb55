/**
 * The shape of an API handler: one file per API, its advertised versions beside the code that serves them. ApiVersions is derived
 * from the literal list in `src/api/registry.ts`; there is no second list.
 */
import type { Api } from '../../protocol/schema/api.ts'
import type { BatchMemory } from '../../storage/partition/batch-memory.ts'
import type { Broker } from '../broker.ts'

export interface Handler<Request, Response> {
  readonly api: Api<Request, never, unknown, Response>
  /** First and last version advertised and served. */
  readonly versions: readonly [first: number, last: number]
  /** Answers may be large: a connection has one request of this API worked on at a time, and those behind it wait. */
  readonly oneAtATime?: boolean
  /** Null means that nothing is sent (acks=0). Throwing is a bug of ours or trouble: the client gets UNKNOWN_SERVER_ERROR where the API allows. */
  handle(request: Request, context: RequestContext): Response | null | Promise<Response | null>
  /** The answer to a request that could be parsed but failed unexpectedly; undefined closes the connection. */
  onError?(request: Request, errorCode: number, context: RequestContext): Response | null
}

export interface RequestContext {
  readonly broker: Broker
  readonly apiVersion: number
  readonly clientId: string | null
  /** `/127.0.0.1`, as Kafka prints it. */
  readonly clientHost: string
  readonly connectionId: string
  /** Software name and version from ApiVersions (KIP-511), once known. */
  readonly clientSoftware: { name: string; version: string }
  /** Of a Produce request: where its batches are, held until the answer is there. Null where the frame is small: the garbage collector has it. */
  readonly memory: BatchMemory | null
  /** Aborts when the connection closes or the broker stops: whoever waits gives up. */
  readonly signal: AbortSignal
  /** Asks the connection to close after the answer, or at once when the handler returns null (acks=0 with an error). */
  closeConnection(): void
  /** Calls back when the answer has left for the network; never, where the connection ends before. */
  whenSent(callback: () => void): void
}
