/** Longest ClientHello that is looked through, bytes: post-quantum key shares take about 2 KiB. */
export const MOST_HELLO_BYTES = 16 * 1024;

export type Sniffed =
  | { kind: 'name'; name: string }
  /** More bytes are needed. */
  | { kind: 'more' }
  /** Not TLS, or no name in it. */
  | { kind: 'none'; why: string };

const NOT_TLS = { kind: 'none', why: 'this is not TLS' } as const;
const MORE = { kind: 'more' } as const;

/**
 * The server name a TLS client asks for, read from the first bytes it sends (RFC 8446 section 4.1.2, RFC 6066
 * section 3) and without taking part in the handshake.
 * @param bytes all it has sent so far
 */
export function sniff(bytes: Buffer): Sniffed {
  const hello = handshakeOf(bytes);
  if (!Buffer.isBuffer(hello)) return hello;
  // type (1), length (3)
  if (hello.length < 4) return MORE;
  if (hello[0] !== 1) return NOT_TLS;
  const length = hello.readUIntBE(1, 3);
  if (length > MOST_HELLO_BYTES) return { kind: 'none', why: 'its greeting is too long' };
  if (hello.length < 4 + length) return MORE;
  const name = nameIn(hello.subarray(4, 4 + length));
  if (name === null) return { kind: 'none', why: 'it names no server' };
  return { kind: 'name', name };
}

/** The handshake message, which may be spread over several records. */
function handshakeOf(bytes: Buffer): Buffer | Sniffed {
  const parts: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] !== 22) return NOT_TLS;
    if (bytes.length - at < 5) break;
    if (bytes[at + 1] !== 3) return NOT_TLS;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > 16_384) return NOT_TLS;
    parts.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return Buffer.concat(parts);
}

/** Reads the extensions of a whole ClientHello; null when it is damaged or names nobody. */
function nameIn(hello: Buffer): string | null {
  const reader = new Reader(hello);
  // version and random
  reader.skip(34);
  reader.skip(reader.uint(1));
  reader.skip(reader.uint(2));
  reader.skip(reader.uint(1));
  const extensions = reader.sub(reader.uint(2));
  while (extensions && extensions.left > 0) {
    const type = extensions.uint(2);
    const body = extensions.sub(extensions.uint(2));
    if (!body) return null;
    if (type !== 0) continue;
    const list = body.sub(body.uint(2));
    if (list?.uint(1) !== 0) return null;
    const name = list.bytes(list.uint(2))?.toString('latin1').toLowerCase();
    return name && /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name) ? name : null;
  }
  return null;
}

/** Reads forward; beyond the end it gives nothing, and never throws. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  get left(): number {
    return Math.max(0, this.#bytes.length - this.#at);
  }
  skip(count: number): void {
    this.#at += count;
  }
  /** A number of 1 or 2 bytes; one that leads beyond the end when it is not there. */
  uint(size: 1 | 2): number {
    if (this.left < size) {
      this.#at = this.#bytes.length;
      return Number.POSITIVE_INFINITY;
    }
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }
  bytes(count: number): Buffer | null {
    if (count > this.left) return null;
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
  sub(count: number): Reader | null {
    const found = this.bytes(count);
    return found && new Reader(found);
  }
}
