/**
 * CreateAcls (key 30): adds ACLs (KIP-140).
 * v1 adds the pattern type (KIP-290), v2 is flexible, v3 adds user resources (KIP-373).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const CreateAcls = defineApi({
  key: 30,
  name: 'CreateAcls',
  versions: [1, 3],
  flexible: 2,
  request: struct({
    creations: array(struct({
      resourceType: int8,
      resourceName: string,
      resourcePatternType: int8.default(3),
      principal: string,
      host: string,
      operation: int8,
      permissionType: int8,
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    results: array(struct({
      errorCode: int16.default(0),
      errorMessage: nullableString,
    })),
  }),
})

export type CreateAclsRequest = RequestOf<typeof CreateAcls>
export type CreateAclsResponse = ResponseOf<typeof CreateAcls>
