/** What an authorised-operations field says when the request did not ask for it (KIP-430). */
export const OPERATIONS_NOT_REQUESTED = -0x8000_0000
