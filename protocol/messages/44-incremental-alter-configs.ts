/**
 * IncrementalAlterConfigs (key 44): sets, deletes, appends to or subtracts from single configs (KIP-339).
 * v1 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, boolean, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const IncrementalAlterConfigs = defineApi({
  key: 44,
  name: 'IncrementalAlterConfigs',
  versions: [0, 1],
  flexible: 1,
  request: struct({
    resources: array(struct({
      resourceType: int8,
      resourceName: string,
      configs: array(struct({
        name: string,
        configOperation: int8,
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

export type IncrementalAlterConfigsRequest = RequestOf<typeof IncrementalAlterConfigs>
export type IncrementalAlterConfigsResponse = ResponseOf<typeof IncrementalAlterConfigs>
