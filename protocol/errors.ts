/**
 * The one error type of Hearth's programs. `code` is stable and documented in docs/errors.md (a test
 * compares the two); `message` is for a person and says what to do; `cause` is what lay beneath.
 */
export class HearthError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'HearthError';
    this.code = code;
  }
}

/** Each code with its HTTP status, where an API answers it. */
export const ERROR_CODES = {
  bad_request: 400,
  not_authenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  payload_too_large: 413,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
  // protocol
  message_too_large: 400,
  message_malformed: 400,
  message_version: 400,
  message_signature: 403,
  message_expired: 403,
  topic_unknown: 400,
  // delivery tokens
  token_malformed: 403,
  token_forged: 403,
  token_expired: 403,
  token_out_of_prefix: 403,
  // enrolment
  claim_invalid: 403,
  csr_invalid: 400,
  certificate_invalid: 400,
  insecure_fleet_url: 400,
  // origin
  origin_unreachable: 502,
  origin_status: 502,
  origin_truncated: 502,
  origin_changed: 502,
  origin_too_large: 502,
  // the box
  chunk_mismatch: 502,
  disk_absent: 503,
  disk_foreign: 503,
  disk_unmarked: 409,
  disk_read_only: 503,
  disk_full: 507,
  disk_failing: 503,
  not_held: 404,
  // releases and updates
  release_malformed: 400,
  release_signature: 403,
  release_expired: 403,
  release_rollback: 409,
  release_unsuitable: 409,
  artefact_mismatch: 502,
  update_no_trust: 409,
  update_unrunnable: 409,
  update_unhealthy: 409,
  update_crashed: 409,
  update_timeout: 409,
  // money
  ledger_unbalanced: 409,
  idempotency_conflict: 409,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** True when `error` is a HearthError, with that code if one is given. */
export function isHearthError(error: unknown, code?: ErrorCode): error is HearthError {
  return error instanceof HearthError && (code === undefined || error.code === code);
}

/** The message of anything thrown. Of a failed query it is what the database said, not the text of the query. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return message.startsWith('Failed query:') && cause instanceof Error ? cause.message : message;
}
