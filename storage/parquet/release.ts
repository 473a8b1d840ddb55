/** Smaller buffers may be Node's pool, which is shared and cannot be given back, and do not matter. */
const releasedBytesMin = 256 * 1024

/**
 * Gives the memory under `bytes` back at once, where it is worth it, instead of at some garbage collection: a flush goes through several times
 * its size in buffers that live for milliseconds. Only for memory that nobody else has a view on; views on it are empty afterwards.
 */
export function release(bytes: Uint8Array): void {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= releasedBytesMin) buffer.transfer(0)
}
