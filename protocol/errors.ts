/**
 * Kafka's error codes as of 4.3 (protocol guide, "Error Codes"): name, code, whether a client may retry the same
 * request, and what it means.
 */

const ERRORS = {
  UNKNOWN_SERVER_ERROR: [-1, false, 'the broker failed in an unexpected way'],
  NONE: [0, false, 'no error'],
  OFFSET_OUT_OF_RANGE: [1, false, 'the offset is outside the range that the partition holds'],
  CORRUPT_MESSAGE: [2, true, 'a record batch is damaged: its checksum, size or layout is wrong'],
  UNKNOWN_TOPIC_OR_PARTITION: [3, true, 'the topic or partition is not known here'],
  INVALID_FETCH_SIZE: [4, false, 'the fetch size is invalid'],
  LEADER_NOT_AVAILABLE: [5, true, 'the partition has no leader at the moment'],
  NOT_LEADER_OR_FOLLOWER: [6, true, 'this broker does not lead the partition'],
  REQUEST_TIMED_OUT: [7, true, 'the request timed out'],
  BROKER_NOT_AVAILABLE: [8, false, 'the broker is not available'],
  REPLICA_NOT_AVAILABLE: [9, true, 'the replica is not available'],
  MESSAGE_TOO_LARGE: [10, false, 'a record batch is larger than the topic allows'],
  STALE_CONTROLLER_EPOCH: [11, false, 'the controller has moved to another broker'],
  OFFSET_METADATA_TOO_LARGE: [12, false, 'the metadata of a committed offset is too large'],
  NETWORK_EXCEPTION: [13, true, 'the connection ended before the answer'],
  COORDINATOR_LOAD_IN_PROGRESS: [14, true, 'the coordinator is still loading its state'],
  COORDINATOR_NOT_AVAILABLE: [15, true, 'the coordinator is not available'],
  NOT_COORDINATOR: [16, true, 'this broker is not the coordinator'],
  INVALID_TOPIC_EXCEPTION: [17, false, 'the topic name is not allowed'],
  RECORD_LIST_TOO_LARGE: [18, false, 'the record batch is larger than a segment'],
  NOT_ENOUGH_REPLICAS: [19, true, 'too few replicas are in sync'],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: [20, true, 'the records were written to too few replicas'],
  INVALID_REQUIRED_ACKS: [21, false, 'acks must be -1, 0 or 1'],
  ILLEGAL_GENERATION: [22, false, 'the generation is not the one of the group'],
  INCONSISTENT_GROUP_PROTOCOL: [23, false, 'the member shares no protocol with the group'],
  INVALID_GROUP_ID: [24, false, 'the group id is not allowed'],
  UNKNOWN_MEMBER_ID: [25, false, 'the group has no such member'],
  INVALID_SESSION_TIMEOUT: [26, false, 'the session timeout is outside the range that the broker allows'],
  REBALANCE_IN_PROGRESS: [27, false, 'the group is rebalancing: join again'],
  INVALID_COMMIT_OFFSET_SIZE: [28, false, 'the committed offsets are too large'],
  TOPIC_AUTHORIZATION_FAILED: [29, false, 'not allowed on this topic'],
  GROUP_AUTHORIZATION_FAILED: [30, false, 'not allowed on this group'],
  CLUSTER_AUTHORIZATION_FAILED: [31, false, 'not allowed on this cluster'],
  INVALID_TIMESTAMP: [32, false, 'a timestamp is outside the range that the topic allows'],
  UNSUPPORTED_SASL_MECHANISM: [33, false, 'the SASL mechanism is not supported'],
  ILLEGAL_SASL_STATE: [34, false, 'the request does not fit the state of authentication'],
  UNSUPPORTED_VERSION: [35, false, 'this version is not supported'],
  TOPIC_ALREADY_EXISTS: [36, false, 'a topic of this name exists'],
  INVALID_PARTITIONS: [37, false, 'the number of partitions is not allowed'],
  INVALID_REPLICATION_FACTOR: [38, false, 'the replication factor is not allowed'],
  INVALID_REPLICA_ASSIGNMENT: [39, false, 'the replica assignment is not allowed'],
  INVALID_CONFIG: [40, false, 'a config is unknown or has a value that is not allowed'],
  NOT_CONTROLLER: [41, true, 'this broker is not the controller'],
  INVALID_REQUEST: [42, false, 'the request contradicts the protocol'],
  UNSUPPORTED_FOR_MESSAGE_FORMAT: [43, false, 'the message format does not support the request'],
  POLICY_VIOLATION: [44, false, 'a policy refuses the request'],
  OUT_OF_ORDER_SEQUENCE_NUMBER: [45, false, 'the sequence number is not the next one of the producer'],
  DUPLICATE_SEQUENCE_NUMBER: [46, false, 'the sequence number was used before'],
  INVALID_PRODUCER_EPOCH: [47, false, 'the producer epoch is old'],
  INVALID_TXN_STATE: [48, false, 'the state of the transaction does not allow this'],
  INVALID_PRODUCER_ID_MAPPING: [49, false, 'the producer id does not belong to the transactional id'],
  INVALID_TRANSACTION_TIMEOUT: [50, false, 'the transaction timeout is larger than the broker allows'],
  CONCURRENT_TRANSACTIONS: [51, true, 'another operation on the transaction is under way'],
  TRANSACTION_COORDINATOR_FENCED: [52, false, 'the coordinator of the transaction has been replaced'],
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: [53, false, 'not allowed on this transactional id'],
  SECURITY_DISABLED: [54, false, 'security is not enabled'],
  OPERATION_NOT_ATTEMPTED: [55, false, 'the operation was not tried because another one of the request failed'],
  KAFKA_STORAGE_ERROR: [56, true, 'the storage failed'],
  LOG_DIR_NOT_FOUND: [57, false, 'the log directory is not known'],
  SASL_AUTHENTICATION_FAILED: [58, false, 'authentication failed'],
  UNKNOWN_PRODUCER_ID: [59, false, 'nothing is known about the producer id'],
  REASSIGNMENT_IN_PROGRESS: [60, false, 'a reassignment is under way'],
  DELEGATION_TOKEN_AUTH_DISABLED: [61, false, 'delegation tokens are not enabled'],
  DELEGATION_TOKEN_NOT_FOUND: [62, false, 'the delegation token is not known'],
  DELEGATION_TOKEN_OWNER_MISMATCH: [63, false, 'the principal neither owns nor renews the delegation token'],
  DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: [64, false, 'delegation tokens cannot be asked for on this connection'],
  DELEGATION_TOKEN_AUTHORIZATION_FAILED: [65, false, 'not allowed on this delegation token'],
  DELEGATION_TOKEN_EXPIRED: [66, false, 'the delegation token has expired'],
  INVALID_PRINCIPAL_TYPE: [67, false, 'the type of the principal is not supported'],
  NON_EMPTY_GROUP: [68, false, 'the group has members'],
  GROUP_ID_NOT_FOUND: [69, false, 'the group does not exist'],
  FETCH_SESSION_ID_NOT_FOUND: [70, true, 'the fetch session does not exist'],
  INVALID_FETCH_SESSION_EPOCH: [71, true, 'the epoch of the fetch session is not the expected one'],
  LISTENER_NOT_FOUND: [72, true, 'the leader has no listener like the one of this request'],
  TOPIC_DELETION_DISABLED: [73, false, 'topics cannot be deleted here'],
  FENCED_LEADER_EPOCH: [74, true, 'the leader epoch of the request is older than the current one'],
  UNKNOWN_LEADER_EPOCH: [75, true, 'the leader epoch of the request is newer than the current one'],
  UNSUPPORTED_COMPRESSION_TYPE: [76, false, 'the compression is not supported in this version'],
  STALE_BROKER_EPOCH: [77, false, 'the broker epoch is old'],
  OFFSET_NOT_AVAILABLE: [78, true, 'the new leader cannot give offsets yet'],
  MEMBER_ID_REQUIRED: [79, false, 'join again with the member id of this answer'],
  PREFERRED_LEADER_NOT_AVAILABLE: [80, true, 'the preferred leader is not available'],
  GROUP_MAX_SIZE_REACHED: [81, false, 'the group is full'],
  FENCED_INSTANCE_ID: [82, false, 'another member uses the same group.instance.id'],
  ELIGIBLE_LEADERS_NOT_AVAILABLE: [83, true, 'no replica may become leader'],
  ELECTION_NOT_NEEDED: [84, true, 'the partition needs no election'],
  NO_REASSIGNMENT_IN_PROGRESS: [85, false, 'no reassignment is under way'],
  GROUP_SUBSCRIBED_TO_TOPIC: [86, false, 'the group is subscribed to the topic'],
  INVALID_RECORD: [87, false, 'a record fails validation'],
  UNSTABLE_OFFSET_COMMIT: [88, true, 'a transaction has offsets pending'],
  THROTTLING_QUOTA_EXCEEDED: [89, true, 'a quota is exceeded'],
  PRODUCER_FENCED: [90, false, 'a newer producer uses the same transactional id'],
  RESOURCE_NOT_FOUND: [91, false, 'the resource does not exist'],
  DUPLICATE_RESOURCE: [92, false, 'the request names a resource twice'],
  UNACCEPTABLE_CREDENTIAL: [93, false, 'the credential is not acceptable'],
  INCONSISTENT_VOTER_SET: [94, false, 'sender and receiver do not agree on the voters'],
  INVALID_UPDATE_VERSION: [95, false, 'the version of the update is invalid'],
  FEATURE_UPDATE_FAILED: [96, false, 'the features could not be updated'],
  PRINCIPAL_DESERIALIZATION_FAILURE: [97, false, 'a forwarded principal cannot be read'],
  SNAPSHOT_NOT_FOUND: [98, false, 'the snapshot does not exist'],
  POSITION_OUT_OF_RANGE: [99, false, 'the position is outside the snapshot'],
  UNKNOWN_TOPIC_ID: [100, true, 'the topic id is not known here'],
  DUPLICATE_BROKER_REGISTRATION: [101, false, 'the broker id is in use'],
  BROKER_ID_NOT_REGISTERED: [102, false, 'the broker id is not registered'],
  INCONSISTENT_TOPIC_ID: [103, true, 'the topic id is not the one of the log'],
  INCONSISTENT_CLUSTER_ID: [104, false, 'the cluster id is another one'],
  TRANSACTIONAL_ID_NOT_FOUND: [105, false, 'the transactional id does not exist'],
  FETCH_SESSION_TOPIC_ID_ERROR: [106, true, 'the fetch session mixes topic names and topic ids'],
  INELIGIBLE_REPLICA: [107, false, 'a replica may not join the in-sync replicas'],
  NEW_LEADER_ELECTED: [108, false, 'the change succeeded and brought another leader'],
  OFFSET_MOVED_TO_TIERED_STORAGE: [109, false, 'the offset is in tiered storage'],
  FENCED_MEMBER_EPOCH: [110, false, 'the member epoch is fenced: give up all partitions and join again'],
  UNRELEASED_INSTANCE_ID: [111, false, 'another member still uses the instance id'],
  UNSUPPORTED_ASSIGNOR: [112, false, 'the group does not support the assignor'],
  STALE_MEMBER_EPOCH: [113, false, 'the member epoch is old: retry with the new one'],
  MISMATCHED_ENDPOINT_TYPE: [114, false, 'this endpoint is of another type'],
  UNSUPPORTED_ENDPOINT_TYPE: [115, false, 'the type of endpoint is not supported'],
  UNKNOWN_CONTROLLER_ID: [116, false, 'the controller id is not known'],
  UNKNOWN_SUBSCRIPTION_ID: [117, false, 'the telemetry subscription is invalid or old'],
  TELEMETRY_TOO_LARGE: [118, false, 'the telemetry is larger than the broker accepts'],
  INVALID_REGISTRATION: [119, false, 'the registration of the broker is invalid'],
  TRANSACTION_ABORTABLE: [120, false, 'the transaction failed: abort it and go on'],
  INVALID_RECORD_STATE: [121, false, 'the state of the record does not allow this acknowledgement'],
  SHARE_SESSION_NOT_FOUND: [122, true, 'the share session does not exist'],
  INVALID_SHARE_SESSION_EPOCH: [123, true, 'the epoch of the share session is not the expected one'],
  FENCED_STATE_EPOCH: [124, false, 'the state epoch of the share group is another one'],
  INVALID_VOTER_KEY: [125, false, 'the key of the voter is another one'],
  DUPLICATE_VOTER: [126, false, 'the voter exists'],
  VOTER_NOT_FOUND: [127, false, 'the voter does not exist'],
  INVALID_REGULAR_EXPRESSION: [128, false, 'the regular expression is invalid'],
  REBOOTSTRAP_REQUIRED: [129, false, 'the metadata of the client is too old: bootstrap again'],
  STREAMS_INVALID_TOPOLOGY: [130, false, 'the topology is invalid'],
  STREAMS_INVALID_TOPOLOGY_EPOCH: [131, false, 'the topology epoch is invalid'],
  STREAMS_TOPOLOGY_FENCED: [132, false, 'the topology epoch is old'],
  SHARE_SESSION_LIMIT_REACHED: [133, true, 'no more share sessions are allowed'],
} as const satisfies Record<string, readonly [code: number, retriable: boolean, message: string]>

export type KafkaErrorName = keyof typeof ERRORS
/** A Kafka error code. */
export type KafkaErrorCode = (typeof ERRORS)[KafkaErrorName][0]

/** Codes by name: `KafkaError.UNKNOWN_TOPIC_OR_PARTITION === 3`. */
export const KafkaError = Object.freeze(Object.fromEntries(Object.entries(ERRORS).map(([name, [code]]) => [name, code]))) as {
  readonly [Name in KafkaErrorName]: (typeof ERRORS)[Name][0]
}

const BY_CODE: ReadonlyMap<number, readonly [name: string, retriable: boolean, message: string]> = new Map(
  Object.entries(ERRORS).map(([name, [code, retriable, message]]) => [code, [name, retriable, message]]),
)

/** The name of a code, or `UNKNOWN(<code>)` for one that Kafka 4.3 does not have. */
export function errorName(code: number): string {
  return BY_CODE.get(code)?.[0] ?? `UNKNOWN(${code})`
}

/** Whether a client may send the same request again. */
export function isRetriable(code: number): boolean {
  return BY_CODE.get(code)?.[1] ?? false
}

/** What a code means, for logs and for error message fields. */
export function errorMessage(code: number): string {
  return BY_CODE.get(code)?.[2] ?? `error ${code}`
}
