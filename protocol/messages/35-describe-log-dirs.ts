/**
 * DescribeLogDirs (key 35): log directories of a broker and the sizes of the partitions in them (KIP-113).
 * v2 is flexible, v3 adds the error code, v4 the sizes of the volumes (KIP-827), v5 whether a directory is cordoned (KIP-1066).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int64, nullableArray, string, struct } from '../schema/field.ts'

export const DescribeLogDirs = defineApi({
  key: 35,
  name: 'DescribeLogDirs',
  versions: [1, 5],
  flexible: 2,
  request: struct({
    topics: nullableArray(struct({
      topic: string,
      partitions: array(int32),
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.since(3),
    results: array(struct({
      errorCode: int16.default(0),
      logDir: string,
      topics: array(struct({
        name: string,
        partitions: array(struct({
          partitionIndex: int32,
          partitionSize: int64,
          offsetLag: int64,
          isFutureKey: boolean,
        })),
      })),
      totalBytes: int64.since(4).default(-1),
      usableBytes: int64.since(4).default(-1),
      isCordoned: boolean.since(5).default(false),
    })),
  }),
})

export type DescribeLogDirsRequest = RequestOf<typeof DescribeLogDirs>
export type DescribeLogDirsResponse = ResponseOf<typeof DescribeLogDirs>
