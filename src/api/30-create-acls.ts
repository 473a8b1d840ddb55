// CreateAcls (30), v1–3. There is no authorizer yet: SECURITY_DISABLED for each, as on a Kafka without one.
import { KafkaError } from '../../protocol/errors.ts'
import { CreateAcls } from '../../protocol/messages/30-create-acls.ts'
import type { CreateAclsRequest, CreateAclsResponse } from '../../protocol/messages/30-create-acls.ts'
import { NO_AUTHORIZER } from './29-describe-acls.ts'
import type { Handler } from './handler.ts'

export const createAcls: Handler<CreateAclsRequest, CreateAclsResponse> = {
  api: CreateAcls,
  versions: [1, 3],
  handle: ({ creations }) => ({ results: creations.map(() => ({ errorCode: KafkaError.SECURITY_DISABLED, errorMessage: NO_AUTHORIZER })) }),
}
