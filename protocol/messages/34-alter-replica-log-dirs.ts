/**
 * AlterReplicaLogDirs (key 34): moves replicas between log directories of a broker (KIP-113).
 * v2 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, string, struct } from '../schema/field.ts'

export const AlterReplicaLogDirs = defineApi({
  key: 34,
  name: 'AlterReplicaLogDirs',
  versions: [1, 2],
  flexible: 2,
  request: struct({
    dirs: array(struct({
      path: string,
      topics: array(struct({
        name: string,
        partitions: array(int32),
      })),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    results: array(struct({
      topicName: string,
      partitions: array(struct({
        partitionIndex: int32,
        errorCode: int16.default(0),
      })),
    })),
  }),
})

export type AlterReplicaLogDirsRequest = RequestOf<typeof AlterReplicaLogDirs>
export type AlterReplicaLogDirsResponse = ResponseOf<typeof AlterReplicaLogDirs>
