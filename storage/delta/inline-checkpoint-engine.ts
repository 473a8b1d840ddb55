/** Checkpoint jobs on the calling thread, in one go: for tests and simulations under a seed, where threads would break the replay. */
import type { CheckpointEngine } from './checkpoint-engine.ts'
import { runCheckpointJob } from './checkpoint-jobs.ts'
import type { CheckpointAnswer, CheckpointJob } from './checkpoint-jobs.ts'
import { DeltaError } from './errors.ts'

export class InlineCheckpointEngine implements CheckpointEngine {
  async run(job: CheckpointJob): Promise<CheckpointAnswer> {
    try {
      return runCheckpointJob(job)
    } catch (cause) {
      throw new DeltaError('corrupt', cause instanceof Error ? cause.message : String(cause), { cause })
    }
  }

  async close(): Promise<void> {}
}
