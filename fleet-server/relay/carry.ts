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

/**
 * Hands bytes on as fast as their receiver takes them and the toll lets them through. What is held here at any time is
 * one piece, and what the streams themselves hold. The ends of the two are the caller's.
 */
export function carry({ from, to, toll, onBytes, onWait }: CarryParts): void {
  let cancel: (() => void) | null = null;
  const go = (piece: Buffer): boolean => {
    onBytes(piece.length);
    if (to.write(piece)) return true;
    to.once('drain', resume);
    return false;
  };
  const resume = (): void => {
    onWait?.(false);
    from.resume();
  };
  const stop = (): void => {
    from.pause();
    onWait?.(true);
  };
  from.on('data', (piece: Buffer) => {
    if (to.destroyed) return;
    if (toll !== null) {
      const answer = toll.pay(piece.length, (may) => {
        cancel = null;
        if (to.destroyed) return;
        if (!may) to.destroy();
        else if (go(piece)) resume();
      });
      if (answer !== true) {
        cancel = answer;
        stop();
        return;
      }
    }
    if (!go(piece)) stop();
  });
  const end = (): void => {
    cancel?.();
    cancel = null;
  };
  to.once('close', end);
  // It may have been paused while it was looked at.
  from.resume();
}
