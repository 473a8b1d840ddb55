// DeleteAcls (31), v1–3. There is no authorizer yet: SECURITY_DISABLED for each filter, as on a Kafka without one.
import { KafkaError } from '../../protocol/errors.ts'
import { DeleteAcls } from '../../protocol/messages/31-delete-acls.ts'
import type { DeleteAclsRequest, DeleteAclsResponse } from '../../protocol/messages/31-delete-acls.ts'
import { NO_AUTHORIZER } from './29-describe-acls.ts'
import type { Handler } from './handler.ts'

export const deleteAcls: Handler<DeleteAclsRequest, DeleteAclsResponse> = {
  api: DeleteAcls,
  versions: [1, 3],
  handle: ({ filters }) => ({
    filterResults: filters.map(() => ({ errorCode: KafkaError.SECURITY_DISABLED, errorMessage: NO_AUTHORIZER, matchingAcls: [] })),
  }),
}
