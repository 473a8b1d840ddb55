// DescribeAcls (29), v1–3. There is no authorizer yet: SECURITY_DISABLED, as on a Kafka without one.
import { KafkaError } from '../../protocol/errors.ts'
import { DescribeAcls } from '../../protocol/messages/29-describe-acls.ts'
import type { DescribeAclsRequest, DescribeAclsResponse } from '../../protocol/messages/29-describe-acls.ts'
import type { Handler } from './handler.ts'

export const NO_AUTHORIZER = 'No Authorizer is configured.'

export const describeAcls: Handler<DescribeAclsRequest, DescribeAclsResponse> = {
  api: DescribeAcls,
  versions: [1, 3],
  handle: () => ({ errorCode: KafkaError.SECURITY_DISABLED, errorMessage: NO_AUTHORIZER, resources: [] }),
}
