import { HearthError } from '#protocol/errors.ts';

/** ICU's data, a "common data" file inside Node: a header, then this many items by name, sorted (ucmndata.h). */
const FORMAT = Buffer.from('CmnD');
const MAGIC = [0xda, 0x27];

/** What is there for every language, in the folders and at the top. */
const COMMON = /^(root|pool|res_index|supplementalData|ucadata.*|tzdbNames)$/;
/** A language, perhaps with script and place: `de`, `zh_Hans_CN`. */
const LOCALE = /^([a-z]{2,3})(_[A-Za-z0-9_]+)?$/;
/** Code pages, dictionaries to break Thai and Chinese by, names of characters, rules to write one script in another. */
const NEVER = /\.(cnv|dict)$|^unames\.icu$|^translit\/|^brkitr\/\w*(LSTM|lstm|adaboost|_model)/;

/**
 * Leaves out of a Node executable what ICU knows of other languages: what `configure --with-intl=small-icu` would
 * have left out. Node's official builds carry all languages, 30 MB of the executable. Items that go are taken from the
 * list, so that ICU sees none, and their bytes are made zero, which packs to nothing. Nothing moves.
 * @param image changed in place
 * @param languages those that stay, beside what all need
 * @returns how many items went and how many bytes they had
 * @throws HearthError `bad_request` when there is no such data inside
 */
export function keepLanguages(
  image: Buffer,
  languages: readonly string[],
): { items: number; sizeBytes: number } {
  const base = findData(image);
  const count = image.readUInt32LE(base);
  const items = Array.from({ length: count }, (_, index) => {
    const at = base + 4 + index * 8;
    const nameAt = base + image.readUInt32LE(at);
    const name = image.toString('latin1', nameAt, image.indexOf(0, nameAt));
    return { nameOffset: image.readUInt32LE(at), dataOffset: image.readUInt32LE(at + 4), name };
  });
  let sizeBytes = 0;
  const kept = items.filter(({ name, dataOffset }, index) => {
    if (stays(name.replace(/^[^/]*\//, ''), languages)) return true;
    // The last item's end is not told.
    const end = items[index + 1]?.dataOffset ?? dataOffset;
    image.fill(0, base + dataOffset, base + end);
    sizeBytes += end - dataOffset;
    return false;
  });
  image.fill(0, base + 4, base + 4 + count * 8);
  image.writeUInt32LE(kept.length, base);
  for (const [index, { nameOffset, dataOffset }] of kept.entries()) {
    image.writeUInt32LE(nameOffset, base + 4 + index * 8);
    image.writeUInt32LE(dataOffset, base + 8 + index * 8);
  }
  return { items: count - kept.length, sizeBytes };
}

/** @param name below ICU's own folder, such as `curr/de_AT.res` */
function stays(name: string, languages: readonly string[]): boolean {
  if (NEVER.test(name)) return false;
  if (!name.endsWith('.res')) return true;
  const stem = name.slice(name.lastIndexOf('/') + 1, -'.res'.length);
  const language = COMMON.test(stem) ? null : LOCALE.exec(stem)?.[1];
  return language === null || language === undefined || languages.includes(language);
}

function findData(image: Buffer): number {
  for (let at = image.indexOf(FORMAT); at >= 0; at = image.indexOf(FORMAT, at + 1)) {
    const header = at - 12;
    if (header < 0 || image[header + 2] !== MAGIC[0] || image[header + 3] !== MAGIC[1]) continue;
    return header + image.readUInt16LE(header);
  }
  throw new HearthError('bad_request', 'there is no ICU data in this executable');
}
