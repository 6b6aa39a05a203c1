import net from 'node:net';

/** Over a satellite a connection takes 700 ms, and one whose first packet was lost a second more, ms. */
const ATTEMPT_MS = 2_500;

/**
 * Gives each address of a host time to answer. Where a name has addresses of both families Node tries one after the
 * other for 250 ms each (RFC 8305 would go on with all of them): a home whose line is slower than that, and that lacks
 * one of the families, would reach nobody.
 */
export function connectPatiently(attemptMs = ATTEMPT_MS): void {
  net.setDefaultAutoSelectFamilyAttemptTimeout(attemptMs);
}
