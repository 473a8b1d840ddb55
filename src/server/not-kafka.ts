/** What people connect to the wrong port with, told from the first four bytes. */

/** Null: just garbage. */
export function explainPrefix(prefix: number): { readonly kind: string; readonly message: string } | null {
  if (prefix >>> 16 === 0x1603) {
    return {
      kind: 'tls',
      message: 'a TLS handshake on a plaintext Kafka port: closed. Set security.protocol=PLAINTEXT (or SASL_PLAINTEXT) in the client',
    }
  }
  if (httpWords.has(prefix)) {
    return {
      kind: 'http',
      message: 'an HTTP request on the Kafka port: closed. Health, metrics and the REST interface are at the address of the http setting',
    }
  }
  return null
}

const httpWords = new Set(
  ['GET ', 'POST', 'PUT ', 'HEAD', 'DELE', 'OPTI', 'PATC', 'CONN', 'TRAC', 'PRI '].map(word => Buffer.from(word).readInt32BE(0)),
)
