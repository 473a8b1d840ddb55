/**
 * DeleteGroups (key 42): deletes groups that have no members (KIP-229).
 * v2 is flexible.
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, string, struct } from '../schema/field.ts'

export const DeleteGroups = defineApi({
  key: 42,
  name: 'DeleteGroups',
  versions: [0, 2],
  flexible: 2,
  request: struct({
    groupsNames: array(string),
  }),
  response: struct({
    throttleTimeMs: int32.default(0),
    results: array(struct({
      groupId: string,
      errorCode: int16.default(0),
    })),
  }),
})

export type DeleteGroupsRequest = RequestOf<typeof DeleteGroups>
export type DeleteGroupsResponse = ResponseOf<typeof DeleteGroups>
