/**
 * Bytes that do not follow the protocol, or a value that the protocol cannot carry. It is the only error that decoding
 * raises, whatever the bytes are, so that a server can treat it as the fault of its peer.
 */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}
