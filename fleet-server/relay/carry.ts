import type { Readable, Writable } from 'node:stream';
import type { Toll } from './tolls.ts';

export interface CarryParts {
  from: Readable;
  to: Writable;
  /** Null: nothing has to be paid. */
  toll: Toll | null;
  /** Bytes were handed on. */
  onBytes: (bytes: number) => void;
  /** It begins or ends to wait for the receiver or its share of the line: until then the sender is not to blame. */
  onWait?: (waits: boolean) => void;
}

/** Pieces that wait for others of the same moment are sent when they are so many bytes. */
const MOST_GATHERED_BYTES = 64 * 1024;

/**
 * Hands bytes on as fast as their receiver takes them and the toll lets them through. What a tunnel's records and frames
 * have cut small (every frame of 16 KiB leaves some bytes to the next record) is put together again until the event
 * loop has read what was there: each piece alone would be a system call, a packet, and a waking of the client. What is
 * held here at any time is that, and what the streams themselves hold. The ends of the two are the caller's.
 */
export function carry({ from, to, toll, onBytes, onWait }: CarryParts): void {
  let cancel: (() => void) | null = null;
  let gathering: NodeJS.Immediate | null = null;
  let waiting = false;
  const resume = (): void => {
    waiting = false;
    onWait?.(false);
    from.resume();
  };
  const stop = (): void => {
    from.pause();
    onWait?.(true);
  };
  const send = (): void => {
    if (gathering !== null) clearImmediate(gathering);
    gathering = null;
    // Whoever ended it has sent all.
    if (to.destroyed || to.writableEnded) return;
    to.uncork();
    if (waiting || to.writableLength === 0 || !to.writableNeedDrain) return;
    waiting = true;
    stop();
    to.once('drain', resume);
  };
  const give = (piece: Buffer): void => {
    onBytes(piece.length);
    if (gathering === null) {
      to.cork();
      gathering = setImmediate(send);
    }
    to.write(piece);
    if (to.writableLength >= MOST_GATHERED_BYTES) send();
  };
  from.on('data', (piece: Buffer) => {
    if (to.destroyed) return;
    if (toll !== null) {
      const answer = toll.pay(piece.length, (may) => {
        cancel = null;
        if (to.destroyed) return;
        if (!may) {
          to.destroy();
          return;
        }
        give(piece);
        if (!waiting) resume();
      });
      if (answer !== true) {
        cancel = answer;
        stop();
        return;
      }
    }
    give(piece);
  });
  const end = (): void => {
    cancel?.();
    cancel = null;
    if (gathering !== null) clearImmediate(gathering);
  };
  // Before whoever ends the receiver at this: Node would send the end of a chunked answer, and then what is gathered.
  from.once('end', () => {
    if (gathering !== null) send();
  });
  to.once('close', end);
  // It may have been paused while it was looked at.
  from.resume();
}
