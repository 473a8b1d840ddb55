/**
 * Thread entry: reads and builds checkpoints. It keeps nothing between jobs. Requests and answers are `CheckpointJob` and
 * `CheckpointAnswer`; byte arrays are transferred, not copied.
 */
import { parentPort } from 'node:worker_threads'
import { stepBack, upkeepSteps } from '../parquet/background-thread.ts'
import { runCheckpointJob, transfersOf } from './checkpoint-jobs.ts'
import type { CheckpointAnswer, CheckpointJob } from './checkpoint-jobs.ts'

stepBack(upkeepSteps)
parentPort?.on('message', ({ id, job }: { readonly id: number; readonly job: CheckpointJob }) => {
  let answer: CheckpointAnswer
  try {
    answer = runCheckpointJob(job)
  } catch (error) {
    answer = { kind: 'failed', message: error instanceof Error ? error.message : String(error) }
  }
  parentPort?.postMessage({ id, answer }, transfersOf(answer))
})
