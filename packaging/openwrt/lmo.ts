/** One translation of a .po file. */
export interface Message {
  id: string;
  text: string;
}

/** The messages of a .po file; its head, which has no id, is left out. Plurals and contexts are not used here. */
export function readPo(content: string): Message[] {
  const messages: Message[] = [];
  let current: Message | null = null;
  let field: keyof Message = 'id';
  for (const line of content.split('\n')) {
    const [, keyword, quoted] = /^(msgid|msgstr)?\s*(".*")\s*$/.exec(line) ?? [];
    if (quoted === undefined) continue;
    if (keyword === 'msgid') {
      current = { id: '', text: '' };
      messages.push(current);
    }
    if (keyword !== undefined) field = keyword === 'msgid' ? 'id' : 'text';
    if (current) current[field] += JSON.parse(quoted) as string;
  }
  return messages.filter(({ id }) => id !== '');
}

/**
 * LuCI's catalogue of translations, as its po2lmo writes it: the texts, each filled up to four bytes; a list sorted by
 * the key's hash of (hash, number of forms, offset, length); the list's offset. All numbers big-endian.
 */
export function writeLmo(messages: readonly Message[]): Buffer {
  const texts: Buffer[] = [];
  const entries: { key: number; offset: number; length: number }[] = [];
  let offset = 0;
  for (const { id, text } of messages) {
    const [bytes, key] = [Buffer.from(text), hashOf(Buffer.from(id))];
    // What is not translated is not in it.
    if (bytes.length === 0 || key === hashOf(bytes)) continue;
    entries.push({ key, offset, length: bytes.length });
    const filled = Buffer.alloc(Math.ceil(bytes.length / 4) * 4);
    bytes.copy(filled);
    texts.push(filled);
    offset += filled.length;
  }
  entries.sort((a, b) => a.key - b.key);
  const index = Buffer.alloc(entries.length * 16 + 4);
  for (const [at, entry] of entries.entries()) {
    for (const [column, value] of [entry.key, 1, entry.offset, entry.length].entries()) {
      index.writeUInt32BE(value, at * 16 + column * 4);
    }
  }
  index.writeUInt32BE(offset, entries.length * 16);
  return Buffer.concat([...texts, index]);
}

/** Paul Hsieh's SuperFastHash, begun with the length; the last one or three bytes count as signed. */
export function hashOf(data: Buffer): number {
  if (data.length === 0) return 0;
  let hash = data.length;
  let at = 0;
  for (; at + 4 <= data.length; at += 4) {
    hash = (hash + data.readUInt16LE(at)) | 0;
    const mixed = (data.readUInt16LE(at + 2) << 11) ^ hash;
    hash = (hash << 16) ^ mixed;
    hash = (hash + (hash >>> 11)) | 0;
  }
  const left = data.length - at;
  if (left >= 2) {
    hash = (hash + data.readUInt16LE(at)) | 0;
    hash ^= hash << (left === 3 ? 16 : 11);
    if (left === 3) hash ^= data.readInt8(at + 2) << 18;
    hash = (hash + (hash >>> (left === 3 ? 11 : 17))) | 0;
  } else if (left === 1) {
    hash = (hash + data.readInt8(at)) | 0;
    hash ^= hash << 10;
    hash = (hash + (hash >>> 1)) | 0;
  }
  hash ^= hash << 3;
  hash = (hash + (hash >>> 5)) | 0;
  hash ^= hash << 4;
  hash = (hash + (hash >>> 17)) | 0;
  hash ^= hash << 25;
  hash = (hash + (hash >>> 6)) | 0;
  return hash >>> 0;
}
