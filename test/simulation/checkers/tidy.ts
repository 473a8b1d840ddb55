/**
 * P5 from the other side: what is not needed goes. After a while in peace the lanes of dead incarnations are retired, the living one keeps
 * what its older checkpoint needs, fences are all there, and nothing is left of deleted topics.
 */
import { checkpointsKept } from '../../../storage/lane/checkpoint-store.ts'
import { laneSegmentKey } from '../../../storage/paths.ts'
import { laneObjects } from '../disk.ts'
import type { SimBroker } from '../sim-broker.ts'
import type { World } from '../world.ts'

export async function checkTidy(world: World, last: SimBroker): Promise<void> {
  const { disk } = world
  const own = last.engine!.lane
  const others = [...disk.incarnations].filter((incarnation) => incarnation !== own.incarnation)
  if (others.length > 0) world.fail(`tidy: lanes ${others.join()} of dead incarnations are not retired`)
  for (const lane of disk.lanes.values()) {
    const { segments, guards, checkpoints } = await laneObjects(disk, lane.name)
    const end = disk.endOf(lane)
    for (const { seq, kind } of lane.guards) if (seq >= end && !guards.includes(seq)) world.fail(`P5: the ${kind} at ${seq} of lane ${lane.name} is gone`)
    if (lane.name === `${own.brokerId}/${own.incarnation}`) {
      if (checkpoints.length > checkpointsKept) world.fail(`tidy: ${checkpoints.length} checkpoints are left in the living lane`)
      const superfluous = segments.filter((seq) => seq < checkpoints[0]!)
      if (superfluous.length > 0) world.fail(`tidy: segments ${superfluous.join()} of the living lane are left, its checkpoints are ${checkpoints.join()}`)
    } else {
      // What the owner got in after its fence came too late for the collector; nobody ever looks at it.
      const [brokerId, incarnation] = lane.name.split('/').map(Number) as [number, number]
      for (const seq of segments) {
        const there = await disk.memory.head(laneSegmentKey(brokerId, incarnation, seq))
        if (there!.modifiedMs < lane.fencedAtMs) world.fail(`tidy: segment ${seq} of the dead lane ${lane.name} is left`)
        else world.count('late garbage')
      }
    }
  }
  for (const topic of disk.topics.values()) {
    if (!topic.deleted) continue
    const left = await disk.memory.list(`${topic.location}/`)
    if (left.length > 0) world.fail(`tidy: ${left.length} objects of the deleted topic ${topic.name} are left: ${left[0]!.key}`)
  }
}
