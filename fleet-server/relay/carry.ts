import { ServerResponse } from 'node:http';
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
  let corked: Writable | null = null;
  /** Why nothing is taken at the moment: a piece has to be paid for, or the receiver is full. */
  const because = { pays: false, full: false };
  const wait = (why: keyof typeof because): void => {
    const already = because.pays || because.full;
    because[why] = true;
    if (already) return;
    from.pause();
    onWait?.(true);
  };
  const goOn = (why: keyof typeof because): void => {
    because[why] = false;
    if (because.pays || because.full) return;
    onWait?.(false);
    from.resume();
  };
  const send = (): void => {
    if (gathering !== null) clearImmediate(gathering);
    gathering = null;
    corked?.uncork();
    corked = null;
    if (to.destroyed || to.writableEnded || because.full) return;
    if (to.writableLength === 0 || !to.writableNeedDrain) return;
    wait('full');
    to.once('drain', () => goOn('full'));
  };
  const give = (piece: Buffer): void => {
    onBytes(piece.length);
    if (gathering === null) {
      // An answer that is corked itself counts as full without ever saying that it is no more (Node 22.23).
      corked = to instanceof ServerResponse ? to.socket : to;
      corked?.cork();
      gathering = setImmediate(send);
    }
    to.write(piece);
    if (to.writableLength >= MOST_GATHERED_BYTES) send();
  };
  from.on('data', (piece: Buffer) => {
    if (to.destroyed || to.writableEnded) return;
    if (toll !== null) {
      const answer = toll.pay(piece.length, (may) => {
        cancel = null;
        if (to.destroyed || to.writableEnded) return;
        if (!may) {
          to.destroy();
          return;
        }
        give(piece);
        goOn('pays');
      });
      if (answer !== true) {
        cancel = answer;
        wait('pays');
        return;
      }
    }
    give(piece);
  });
  const end = (): void => {
    cancel?.();
    cancel = null;
    send();
  };
  // Before whoever ends the receiver at this.
  from.once('end', () => {
    if (gathering !== null) send();
  });
  to.once('close', end);
  // It may have been paused while it was looked at.
  from.resume();
}
