import type { Heartbeat } from '#protocol/messages.ts';

/** What a box may still write, bytes; agents that know no quota tell what is free. */
export function roomOf(heartbeat: Heartbeat | null): number {
  return heartbeat ? (heartbeat.store.roomBytes ?? heartbeat.store.freeBytes) : 0;
}
