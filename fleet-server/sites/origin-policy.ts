import { hostOf, isLanName, namesLocalMachine } from '#protocol/addresses.ts';
import { HearthError } from '#protocol/errors.ts';

/**
 * Refuses an origin that only a local network can have: boxes stand in other homes, and what they would find there is
 * somebody else's. What a public name resolves to the boxes look at themselves, each time they connect.
 * @throws HearthError `bad_request`
 */
export function refuseLocalOrigin(origin: string): void {
  const host = hostOf(origin);
  if (!namesLocalMachine(origin) && !isLanName(host)) return;
  throw new HearthError(
    'bad_request',
    `origin: ${host} is in a local network, which boxes in other homes cannot reach: use the origin's public name. ` +
      'A fleet whose boxes stand in that network takes it with HEARTH_DIAL_PRIVATE=on.',
  );
}
