/** ListGroups (key 16, versions 0–5): the groups that this broker coordinates, filtered by state (KIP-518) and type (KIP-848). */
import { ListGroups } from '../../protocol/messages/16-list-groups.ts'
import type { ListGroupsRequest, ListGroupsResponse } from '../../protocol/messages/16-list-groups.ts'
import type { Handler } from './handler.ts'

export const listGroups: Handler<ListGroupsRequest, ListGroupsResponse> = {
  api: ListGroups,
  versions: [0, 5],

  async handle({ statesFilter, typesFilter }, { broker }) {
    const { errorCode, groups } = await broker.groups.list(statesFilter, typesFilter)
    return {
      errorCode,
      groups: groups.map(({ groupId, protocolType, state, type }) => ({ groupId, protocolType, groupState: state, groupType: type })),
    }
  },

  onError(_request, errorCode) {
    return { errorCode, groups: [] }
  },
}
