import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Download {
  status: number;
  body: Buffer;
  /** Why it was cut short, if it was. */
  failure: string | null;
}

/** What came of one request, however far it got; redirects are not followed. */
export async function download(url: string, { bytesPerSecond = 0 } = {}): Promise<Download> {
  const parts: Buffer[] = [];
  let status = 0;
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(180_000) });
    status = response.status;
    for await (const part of response.body ?? []) {
      parts.push(Buffer.from(part));
      if (bytesPerSecond > 0) await sleep((part.length / bytesPerSecond) * 1000);
    }
    return { status, body: Buffer.concat(parts), failure: null };
  } catch (error) {
    return { status, body: Buffer.concat(parts), failure: String(error) };
  }
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * A client that never stops asking, until it is told to: what it is given under 200 must be what the file begins
 * with, however far it gets.
 */
export class RestlessClient {
  /** Answers under 200, bytes in them, and what was wrong with any. */
  answers = 0;
  bytes = 0;
  readonly wrong: string[] = [];
  private stopped = false;
  private readonly done: Promise<void>;

  /** @param link where a file is to be had now; null: nowhere */
  constructor(files: ReadonlyMap<string, Buffer>, link: (path: string) => Promise<string | null>) {
    this.done = this.run(files, link);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.done;
  }

  private async run(
    files: ReadonlyMap<string, Buffer>,
    link: (path: string) => Promise<string | null>,
  ): Promise<void> {
    for (let turn = 0; !this.stopped; turn++) {
      const [path, bytes] = [...files][turn % files.size] ?? [];
      const url = path === undefined ? null : await link(path).catch(() => null);
      if (url === null || bytes === undefined) {
        await sleep(500);
        continue;
      }
      const { status, body } = await download(url, { bytesPerSecond: 4 * 1024 * 1024 });
      if (status !== 200) {
        await sleep(500);
        continue;
      }
      this.answers += 1;
      this.bytes += body.length;
      if (!body.equals(bytes.subarray(0, body.length)))
        this.wrong.push(`${path}: ${body.length} bytes, not as it begins`);
    }
  }
}
