import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenScope } from '#protocol/delivery-token.ts';
import { deliveryKeyFor, mintToken, sealKeyFor } from '#protocol/delivery-token.ts';
import type { TestSystem } from './system.ts';

/** Makes tokens as this system's router would, with any scope: the key is read from the fleet's folder. */
export function mintFor(system: TestSystem, scope: TokenScope): string {
  const secret = Buffer.from(
    readFileSync(join(system.directory, 'keys', 'delivery-secret'), 'utf8').trim(),
    'hex',
  );
  return mintToken(scope, deliveryKeyFor(secret, scope.boxId), sealKeyFor(secret));
}
