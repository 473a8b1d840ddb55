/**
 * Sockets that read into memory of ours. Node gives a fresh 64 KiB buffer to every read of a server's socket; under load these are most of what
 * the garbage collector is called for. Client sockets can be told where to read (`onread` of `net.connect`); this brings the same to
 * accepted ones, by making a second socket around the handle of the first. That handle is no public interface of Node: where it does
 * not look as expected, the socket stays as it is and its user falls back to `data` events.
 */
import { Socket } from 'node:net'

export interface DirectReads {
  /** Where the next read goes; asked for after each read, and valid until then. */
  space(): Uint8Array
  /** `bytes` were written to the beginning of what `space` gave last. */
  received(bytes: number, space: Uint8Array): void
}

/** Properties of a socket that Node does not document. */
const handleProperty = '_handle'
/** The server counts its connections by these. */
const serverProperties = ['server', '_server'] as const

/** A socket that took over the connection of `socket`, paused, or null where that cannot be done. `socket` must not have been read from. */
export function withDirectReads(socket: Socket, reads: DirectReads): Socket | null {
  const handle: unknown = Reflect.get(socket, handleProperty)
  if (socket.constructor !== Socket || socket.destroyed || typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) return null
  Reflect.set(socket, handleProperty, null)
  const options = {
    handle,
    allowHalfOpen: true,
    pauseOnCreate: true,
    onread: {
      buffer: () => reads.space(),
      callback: (bytes: number, space: Uint8Array) => {
        reads.received(bytes, space)
        return true
      },
    },
  }
  const taken = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
  for (const property of serverProperties) Reflect.set(taken, property, Reflect.get(socket, property))
  return taken
}

/** Of what was written to the socket, the bytes that the kernel has not taken yet; all `writtenBytes` of them where Node does not say. */
export function untakenBytes(socket: Socket, writtenBytes: number): number {
  const handle: unknown = Reflect.get(socket, handleProperty)
  const queued: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'writeQueueSize') : undefined
  return typeof queued === 'number' ? Math.min(queued, writtenBytes) : writtenBytes
}
