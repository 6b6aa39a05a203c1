import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Composition } from './compose.ts';
import { compose } from './compose.ts';
import { flashingGuide } from './guide.ts';
import { usignSign } from './usign.ts';

export interface ImageOptions extends Omit<Composition, 'out'> {
  /** Appears when everything is made; what was there goes. */
  folder: string;
  /** A usign secret key without a passphrase; null: not signed. */
  secretKey: string | null;
}

/**
 * Makes a board's image and what one needs with it: manifest, flashing guide, SHA256SUMS and its signature.
 * @returns the files' names in `folder`
 * @throws HearthError `bad_request`, `unavailable`
 */
export async function buildImage(options: ImageOptions): Promise<string[]> {
  const { folder, secretKey, board, release, overlay } = options;
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  try {
    const { image, manifest } = await compose({ ...options, out: draft });
    const facts = { board, release, image, hostname: overlay.hostname, role: overlay.role };
    writeFileSync(join(draft, 'FLASHING.md'), flashingGuide({ ...facts, signed: secretKey !== null }));
    const summed = [image, manifest, 'FLASHING.md'];
    const sums = summed.map((name) => `${sha256(readFileSync(join(draft, name)))}  ${name}\n`).join('');
    writeFileSync(join(draft, 'SHA256SUMS'), sums);
    const made = [...summed, 'SHA256SUMS'];
    if (secretKey !== null) {
      const signature = usignSign(Buffer.from(sums), secretKey, 'signed with the key of Hearth images');
      writeFileSync(join(draft, 'SHA256SUMS.sig'), signature);
      made.push('SHA256SUMS.sig');
    }
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(dirname(folder), { recursive: true });
    renameSync(draft, folder);
    return made;
  } catch (error) {
    // What the ImageBuilder said is worth reading.
    rmSync(`${folder}.failed`, { recursive: true, force: true });
    renameSync(draft, `${folder}.failed`);
    throw error;
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
