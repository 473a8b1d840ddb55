/**
 * DescribeAcls (key 29): the ACLs that fit a filter (KIP-140).
 * v1 adds the pattern type (KIP-290), v2 is flexible, v3 adds user resources (KIP-373).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, int8, nullableString, string, struct } from '../schema/field.ts'

export const DescribeAcls = defineApi({
  key: 29,
  name: 'DescribeAcls',
  versions: [1, 3],
  flexible: 2,
  request: struct({
    resourceTypeFilter: int8,
    resourceNameFilter: nullableString,
    patternTypeFilter: int8.default(3),
    principalFilter: nullableString,
    hostFilter: nullableString,
    operation: int8,
    permissionType: int8,
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    errorCode: int16.default(0),
    errorMessage: nullableString,
    resources: array(struct({
      resourceType: int8,
      resourceName: string,
      patternType: int8.default(3),
      acls: array(struct({
        principal: string,
        host: string,
        operation: int8,
        permissionType: int8,
      })),
    })),
  }),
})

export type DescribeAclsRequest = RequestOf<typeof DescribeAcls>
export type DescribeAclsResponse = ResponseOf<typeof DescribeAcls>
