/** Hostile clients for longer: random seeds, thousands of damaged requests, compression bombs; and memory that comes back. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { Attack } from '../../hostile/attack.ts'
import { bombs } from '../../hostile/bombs.ts'
import { frameOf, mutations } from '../../hostile/mutations.ts'
import { validRequests } from '../../hostile/valid-requests.ts'
import { mib } from '../support/process-watch.ts'
import type { Scenario } from './scenario.ts'

/** Resident memory beyond that of a broker that has seen one round. */
const GROWTH_BYTES_MAX = 200 * 1024 * 1024
/** Most requests that are sent at once. */
const AT_ONCE_MAX = 24

/** How often a round, which begins with fresh topics and ends without any, is gone through. */
const rounds = { quick: 4, full: 40 }
const batchesPerRound = 150

export const hostile: readonly Scenario[] = [
  {
    name: 'hostile clients: damaged requests of every API and version',
    async run(world) {
      const seed = Number(process.env['HOSTILE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
      world.note(`seed ${seed}: HOSTILE_SEED=${seed} goes the same way`)
      const attack = await Attack.start()
      world.after(() => attack.end())
      for (let round = 0; round < 5; round++) await attack.bombard(bombs())
      let sent = 0
      let first = 0
      let last = 0
      for (let round = 0; round < (world.full ? rounds.full : rounds.quick); round++) {
        await attack.prepare()
        const input = fc.tuple(validRequests(attack.vocabulary), mutations).map(([valid, changes]) => frameOf(valid, changes))
        const batches = fc.array(input, { minLength: 1, maxLength: AT_ONCE_MAX, size: 'max' })
        const attacks = fc.asyncProperty(batches, async (inputs) => {
          sent += inputs.length
          await attack.send(inputs, inputs.length % 2 === 0)
        })
        const result = await fc.check(attacks, { seed: seed + round, numRuns: batchesPerRound })
        if (result.failed) {
          const inputs = (result.counterexample?.[0] ?? []).map(each => each.toString('hex'))
          throw new Error(`round ${round}; keep what did harm in test/hostile/cases, one file for each:\n${inputs.join('\n')}`, { cause: result.errorInstance })
        }
        await attack.cleanUp()
        last = await attack.settled()
        if (round === 0) first = last
      }
      world.note(`${sent} requests; ${mib(first)} resident after the first round, ${mib(last)} at the end`)
      assert.ok(last - first < GROWTH_BYTES_MAX, `${mib(last - first)} more than after the first round`)
    },
  },
]
