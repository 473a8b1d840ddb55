/**
 * DeleteAcls (key 31): removes the ACLs that fit filters (KIP-140).
 * v1 adds the pattern type (KIP-290), v2 is flexible, v3 adds user resources (KIP-373).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const DeleteAcls = defineApi({
  key: 31,
  name: 'DeleteAcls',
  versions: [1, 3],
  flexible: 2,
  request: struct({
    filters: array(struct({
      resourceTypeFilter: int8,
      resourceNameFilter: nullableString,
      patternTypeFilter: int8.default(3),
      principalFilter: nullableString,
      hostFilter: nullableString,
      operation: int8,
      permissionType: int8,
    })),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    filterResults: array(struct({
      errorCode: int16.default(0),
      errorMessage: nullableString,
      matchingAcls: array(struct({
        errorCode: int16.default(0),
        errorMessage: nullableString,
        resourceType: int8,
        resourceName: string,
        patternType: int8.default(3),
        principal: string,
        host: string,
        operation: int8,
        permissionType: int8,
      })),
    })),
  }),
})

export type DeleteAclsRequest = RequestOf<typeof DeleteAcls>
export type DeleteAclsResponse = ResponseOf<typeof DeleteAcls>
