/**
 * AlterConfigs (key 33): replaces all configs of a resource (KIP-133); clients prefer IncrementalAlterConfigs.
 * v2 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const AlterConfigs = defineApi({
  key: 33,
  name: 'AlterConfigs',
  versions: [0, 2],
  flexible: 2,
  request: struct({
    resources: array(struct({
      resourceType: int8,
      resourceName: string,
      configs: array(struct({
        name: string,
        value: nullableString,
      })),
    })),
    validateOnly: boolean,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    responses: array(struct({
      errorCode: int16.default(0),
      errorMessage: nullableString,
      resourceType: int8,
      resourceName: string,
    })),
  }),
})

export type AlterConfigsRequest = RequestOf<typeof AlterConfigs>
export type AlterConfigsResponse = ResponseOf<typeof AlterConfigs>
