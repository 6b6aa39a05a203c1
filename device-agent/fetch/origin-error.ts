import type { ErrorCode } from '#protocol/errors.ts';
import { HearthError } from '#protocol/errors.ts';

/** What went wrong at a source, and what that means for another try. */
export class OriginError extends HearthError {
  /** The source asked to be left alone this long, ms. */
  readonly retryAfterMs: number | null;
  /** Another try at once would end the same way. */
  readonly lasting: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    more: { retryAfterMs?: number | null; lasting?: boolean; cause?: unknown } = {},
  ) {
    super(code, message, { cause: more.cause });
    this.retryAfterMs = more.retryAfterMs ?? null;
    this.lasting = more.lasting ?? false;
  }
}
