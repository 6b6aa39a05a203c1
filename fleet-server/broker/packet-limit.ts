import type { Duplex } from 'node:stream';

/**
 * Cuts a connection off at the first MQTT packet that says it is longer than `maxBytes`. MQTT 3.1.1 lets a client
 * announce 256 MB, and the broker's parser would gather all of it in memory before anyone could refuse it.
 */
export function limitPackets(socket: Duplex, maxBytes: number): void {
  const limit = new PacketLimit(maxBytes);
  const read = socket.read.bind(socket);
  // The broker pulls with read(): there every byte passes once, and no second stream must be kept per connection.
  socket.read = (size?: number) => {
    const bytes: unknown = read(size);
    if (bytes instanceof Uint8Array && !limit.allows(bytes)) {
      socket.destroy(new Error(`a packet of more than ${maxBytes} bytes`));
      return null;
    }
    return bytes;
  };
}

/** Follows the fixed headers in a stream of MQTT packets (MQTT 3.1.1 section 2.2). */
export class PacketLimit {
  readonly #maxBytes: number;
  /** Bytes left of the present packet's body. */
  #body = 0;
  #inLength = false;
  #length = 0;
  #shift = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false once a packet is too long, or its length malformed */
  allows(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      if (this.#body > 0) {
        const step = Math.min(this.#body, bytes.length - at);
        this.#body -= step;
        at += step;
        continue;
      }
      const byte = bytes[at++] ?? 0;
      if (!this.#inLength) {
        // Type and flags; the remaining length follows.
        this.#inLength = true;
        this.#length = 0;
        this.#shift = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 2 ** this.#shift;
      this.#shift += 7;
      if (this.#length > this.#maxBytes || this.#shift > 28) return false;
      if (byte < 0x80) {
        this.#inLength = false;
        this.#body = this.#length;
      }
    }
    return true;
  }
}
