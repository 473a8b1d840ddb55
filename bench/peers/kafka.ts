/** Apache Kafka as a peer: one node that is broker and controller (KRaft), its data on the local disk, one GB of heap, defaults otherwise. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../scripts/minio.ts'
import { scratchFolder } from '../scratch.ts'
import type { StartBroker, Target } from '../target.ts'
import { listening, runToEnd, startProcess } from './processes.ts'

const heap = ['-Xms1g', '-Xmx1g', '-XX:+UseG1GC']
const quiet = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'
const startMsMax = 180_000
/** Any 16 bytes in base64: the cluster lives as long as its folder. */
const clusterId = 'YmF5b3UtYmVuY2gtMDAwMA'

/** Starts brokers from jars that are there. */
export function kafkaStarter(classPath: string): StartBroker {
  return async () => {
    const folder = await scratchFolder('kafka')
    const address = `127.0.0.1:${await freePort()}`
    const controller = `127.0.0.1:${await freePort()}`
    const config = join(folder.path, 'server.properties')
    const data = join(folder.path, 'data')
    await mkdir(data)
    await writeFile(config, properties(address, controller, data))
    await runToEnd('java', [quiet, '-cp', classPath, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', config], { timeoutMs: startMsMax })
    const peer = startProcess('java', [...heap, quiet, '-cp', classPath, 'kafka.Kafka', config])
    const end = async (how: () => Promise<void>): Promise<void> => {
      await how()
      await folder.remove()
    }
    try {
      await listening(address, peer, startMsMax)
    } catch (error) {
      await end(peer.kill)
      throw error
    }
    const target: Target = {
      subject: 'kafka', address, pid: peer.child.pid ?? 0, store: folder.path,
      metrics: async () => ({}), stop: () => end(peer.stop), kill: () => end(peer.kill),
    }
    return target
  }
}

function properties(address: string, controller: string, data: string): string {
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${controller}`,
    listeners: `PLAINTEXT://${address},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://${address}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': data,
    // One node cannot replicate.
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
  }).map(([name, value]) => `${name}=${value}\n`).join('')
}
