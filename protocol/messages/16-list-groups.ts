/**
 * ListGroups (key 16): the groups that this broker coordinates.
 * v3 is flexible, v4 filters by state (KIP-518), v5 filters by type (KIP-848).
 */
import { defineApi, type RequestOf, type ResponseOf } from '../schema/api.ts'
import { array, int16, int32, string, struct } from '../schema/field.ts'

export const ListGroups = defineApi({
  key: 16,
  name: 'ListGroups',
  versions: [0, 5],
  flexible: 3,
  request: struct({
    statesFilter: array(string).since(4),
    typesFilter: array(string).since(5),
  }),
  response: struct({
    throttleTimeMs: int32.since(1).default(0),
    errorCode: int16.default(0),
    groups: array(struct({
      groupId: string,
      protocolType: string,
      groupState: string.since(4),
      groupType: string.since(5),
    })),
  }),
})

export type ListGroupsRequest = RequestOf<typeof ListGroups>
export type ListGroupsResponse = ResponseOf<typeof ListGroups>
