/**
 * ListConfigResources (key 74): names of resources that have configs.
 * All versions are flexible. v0 lists client metrics only (KIP-714), v1 any type (KIP-1142).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int8, string, struct } from '../schema/field.ts'

export const ListConfigResources = defineApi({
  key: 74,
  name: 'ListConfigResources',
  versions: [0, 1],
  flexible: 0,
  request: struct({
    resourceTypes: array(int8).since(1),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    configResources: array(struct({
      resourceName: string,
      resourceType: int8.since(1).default(16),
    })),
  }),
})

export type ListConfigResourcesRequest = RequestOf<typeof ListConfigResources>
export type ListConfigResourcesResponse = ResponseOf<typeof ListConfigResources>
