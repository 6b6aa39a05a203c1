/**
 * A router counts the seconds since it lost its state; its answers tell the count. When it does not go on as our own
 * clock does, the router has been restarted or has a new address, and the mappings are gone.
 */
export class EpochWatch {
  readonly #rule: 'pcp' | 'natpmp';
  #before: { serverS: number; clientMs: number } | null = null;

  constructor(rule: 'pcp' | 'natpmp') {
    this.#rule = rule;
  }

  /**
   * @param nowMs monotonic
   * @returns true when the state was lost since the last answer; never for the first
   */
  lost(serverS: number, nowMs: number): boolean {
    const before = this.#before;
    this.#before = { serverS, clientMs: nowMs };
    if (!before) return false;
    const clientDelta = (nowMs - before.clientMs) / 1000;
    // RFC 6886 section 3.6: "seven-eighths of the time elapsed", two seconds' grace.
    if (this.#rule === 'natpmp') return serverS < before.serverS + (clientDelta * 7) / 8 - 2;
    // RFC 6887 section 8.5.
    if (serverS < before.serverS - 1) return true;
    const serverDelta = serverS - before.serverS;
    return (
      clientDelta + 2 < serverDelta - serverDelta / 16 || serverDelta + 2 < clientDelta - clientDelta / 16
    );
  }
}
