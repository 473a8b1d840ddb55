/**
 * Nisshi (a broker in Rust on an object store) as a peer, where NISSHI_BIN names its binary:
 * `cargo install nisshi --version 0.7.0 --no-default-features --features dynostore,delta,parquet`. It keeps its data in the same MinIO, a
 * cluster of its own for every start, with its defaults. It understands clients up to Kafka 3.7.
 */
import { freePort } from '../../scripts/minio.ts'
import type { StartBroker } from '../target.ts'
import { listening, startProcess } from './processes.ts'

const startMsMax = 30_000
let count = 0

export function nisshiStarter(binary: string): StartBroker {
  return async (store, options = {}) => {
    const place = new URL(store.freshUrl())
    if (place.protocol !== 's3:') throw new Error('Nisshi needs a store that speaks S3')
    const cluster = options.url ?? `bench-${process.pid}-${++count}`
    const address = `127.0.0.1:${await freePort()}`
    const flags = { 'cluster-id': cluster, 'listener-url': `tcp://${address}`, 'advertised-listener-url': `tcp://${address}`, 'storage-engine': `s3://${place.hostname}` }
    // object_store, its S3 client, has the endpoint under a name of its own and wants to be told that it is not TLS.
    const env = { ...store.env, AWS_ENDPOINT: store.env['AWS_ENDPOINT_URL'] ?? '', AWS_ALLOW_HTTP: 'true', RUST_LOG: 'warn' }
    const peer = startProcess(binary, ['broker', ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])], env)
    try {
      await listening(address, peer, startMsMax)
    } catch (error) {
      await peer.kill()
      throw error
    }
    return {
      subject: 'nisshi', address, pid: peer.child.pid ?? 0, store: cluster, kafkaVersion: '3.7',
      metrics: async () => ({}), stop: peer.stop, kill: peer.kill,
    }
  }
}
