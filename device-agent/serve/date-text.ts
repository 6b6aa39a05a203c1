/** A moment as HTTP writes it (RFC 9110 section 5.6.7), made once a second. */
export class DateText {
  #second = -1;
  #text = '';

  /** @param ms since 1970; null: unknown */
  of(ms: number | null): string | null {
    if (ms === null) return null;
    const second = Math.floor(ms / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toUTCString();
    }
    return this.#text;
  }
}
