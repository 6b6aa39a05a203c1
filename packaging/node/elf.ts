import { HearthError } from '#protocol/errors.ts';

const PT_LOAD = 1;

/** Where the fields of an ELF header lie, for 32 and 64 bits (elf(5)). */
interface Header {
  programOffset: number;
  programSize: number;
  programCount: number;
  word: 4 | 8;
}

/**
 * An executable without what no loader reads: symbol tables, debug data and the list of sections, all of which lie
 * behind the last loadable segment. What remains has the same bytes at the same places.
 * @throws HearthError `bad_request` when it is not a little-endian ELF file
 */
export function withoutUnloaded(image: Buffer): Buffer {
  const header = readHeader(image);
  const { programOffset, programSize, programCount, word } = header;
  let end = programOffset + programSize * programCount;
  for (let index = 0; index < programCount; index += 1) {
    const at = programOffset + index * programSize;
    const type = image.readUInt32LE(at);
    const offset = read(image, at + (word === 8 ? 8 : 4), word);
    const size = read(image, at + (word === 8 ? 32 : 16), word);
    // Others (notes, the loader's name, relocations) lie inside loadable ones.
    if (type === PT_LOAD) end = Math.max(end, offset + size);
  }
  if (end > image.length) throw new HearthError('bad_request', 'this ELF file is cut short');
  const kept = Buffer.from(image.subarray(0, end));
  if (word === 8) {
    kept.writeBigUInt64LE(0n, 40);
    kept.fill(0, 58, 64);
  } else {
    kept.writeUInt32LE(0, 32);
    kept.fill(0, 46, 52);
  }
  return kept;
}

function readHeader(image: Buffer): Header {
  const isElf = image.length >= 64 && image.readUInt32BE(0) === 0x7f454c46;
  const word = image[4] === 1 ? 4 : image[4] === 2 ? 8 : null;
  if (!isElf || word === null || image[5] !== 1) {
    throw new HearthError('bad_request', 'this is not a little-endian ELF file');
  }
  return {
    word,
    programOffset: read(image, word === 8 ? 32 : 28, word),
    programSize: image.readUInt16LE(word === 8 ? 54 : 42),
    programCount: image.readUInt16LE(word === 8 ? 56 : 44),
  };
}

function read(image: Buffer, at: number, word: 4 | 8): number {
  return word === 8 ? Number(image.readBigUInt64LE(at)) : image.readUInt32LE(at);
}
