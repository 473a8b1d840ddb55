/** DeleteGroups (key 42, versions 0–2): deletes groups without members, with their offsets (KIP-229). */
import { DeleteGroups } from '../../protocol/messages/42-delete-groups.ts'
import type { DeleteGroupsRequest, DeleteGroupsResponse } from '../../protocol/messages/42-delete-groups.ts'
import type { Handler } from './handler.ts'

export const deleteGroups: Handler<DeleteGroupsRequest, DeleteGroupsResponse> = {
  api: DeleteGroups,
  versions: [0, 2],

  async handle(request, { broker }) {
    const groupIds = Array.from(new Set(request.groupsNames))
    const results = await Promise.all(groupIds.map(async (groupId) => ({ groupId, errorCode: await broker.groups.delete(groupId) })))
    return { results }
  },

  onError(request, errorCode) {
    return { results: Array.from(new Set(request.groupsNames), (groupId) => ({ groupId, errorCode })) }
  },
}
