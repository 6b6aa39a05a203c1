const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const PREFIX = 'asset-';
export const ASSET_ID_BYTES = 10;
const LENGTH = PREFIX.length + 16;

const VALUES = new Int8Array(128).fill(-1);
for (const [value, letter] of [...ALPHABET].entries()) VALUES[letter.charCodeAt(0)] = value;

/**
 * The 80 bits of an asset id.
 * @param into 10 bytes
 * @returns false when it is not an asset id
 */
export function packAssetId(assetId: string, into: Uint8Array): boolean {
  if (assetId.length !== LENGTH || !assetId.startsWith(PREFIX)) return false;
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let index = PREFIX.length; index < LENGTH; index++) {
    const value = VALUES[assetId.charCodeAt(index)] ?? -1;
    if (value < 0) return false;
    bits = ((bits << 5) | value) & 0xfff;
    held += 5;
    if (held < 8) continue;
    held -= 8;
    into[at++] = (bits >>> held) & 0xff;
  }
  return true;
}

/** @param bytes 10 of them */
export function unpackAssetId(bytes: Uint8Array): string {
  let text = PREFIX;
  let bits = 0;
  let held = 0;
  for (let index = 0; index < ASSET_ID_BYTES; index++) {
    bits = ((bits << 8) | (bytes[index] ?? 0)) & 0xfff;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text += ALPHABET[(bits >>> held) & 31];
    }
  }
  return text;
}
