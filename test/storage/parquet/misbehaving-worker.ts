/** A worker that does what the options of a job say instead of the job: dies, throws, traps, or says how much memory its library has. */
import { parentPort, threadId } from 'node:worker_threads'
import type { ToWorker } from '../../../storage/parquet/worker-messages.ts'

parentPort!.on('message', (message: ToWorker) => {
  if (message.kind !== 'job') return
  const behaviour = (message.request as { compression: string }).compression
  const { job } = message
  const error = { name: 'RuntimeError', message: 'unreachable', stack: undefined, fatal: true, ask: null }
  switch (behaviour) {
    case 'exit':
      process.exit(3)
      break
    case 'throw':
      throw new Error('thrown in the thread')
    case 'trap':
      parentPort!.postMessage({ kind: 'failed', job, error, memoryBytes: 1 }, [])
      break
    case 'grow':
      parentPort!.postMessage({ kind: 'result', job, value: threadId, memoryBytes: 2 ** 31 }, [])
      break
    case 'hang':
      break
    default:
      parentPort!.postMessage({ kind: 'result', job, value: threadId, memoryBytes: 1 }, [])
  }
})
