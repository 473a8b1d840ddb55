/** The kinds of runs by name, and the command that replays one. */
import { randomRun } from './random-run.ts'
import { systematicModes, systematicRun } from './systematic-run.ts'
import type { SystematicMode } from './systematic-run.ts'
import { World } from './world.ts'

export const modes = ['random', ...systematicModes] as const
export type Mode = (typeof modes)[number]

/** For the modes that are not random, `seed` is the await point at which the accident happens. Never rejects: what a run throws is a violation too. */
export async function runOne(mode: Mode, seed: number, onTrace?: (line: string) => void): Promise<World> {
  try {
    return await (mode === 'random' ? randomRun(seed, onTrace) : systematicRun(mode, seed, onTrace))
  } catch (error) {
    const world = new World(seed)
    world.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return world
  }
}

export function isSystematic(mode: Mode): mode is SystematicMode {
  return mode !== 'random'
}

export function replayCommand(mode: Mode, seed: number): string {
  return `npx node test/simulation/replay.ts --mode ${mode} --seed ${seed}`
}
