import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

/** Where the CLI finds the fleet and its token. */
export interface Connection {
  url: string;
  token: string;
}

const fileSchema = z.object({ url: z.url(), token: z.string() });

/**
 * `--url` and `--token`, else HEARTH_URL and HEARTH_TOKEN, else the cli.json that `npm start` leaves in its data
 * folder (HEARTH_DATA, or .hearth here).
 * @returns the connection, or what is missing and how to give it
 */
export function findConnection(
  given: { url?: string | undefined; token?: string | undefined },
  env: NodeJS.ProcessEnv,
  folder: string,
): Connection | { missing: string } {
  const file = readFile(path.resolve(folder, env.HEARTH_DATA || '.hearth', 'cli.json'));
  const url = given.url ?? (env.HEARTH_URL || file?.url);
  const token = given.token ?? (env.HEARTH_TOKEN || file?.token);
  if (url !== undefined && !/^https?:\/\/[^/]/.test(url))
    return { missing: `"${url}" is not an http or https URL` };
  if (url && token) return { url: url.replace(/\/+$/, ''), token };
  return {
    missing:
      `which ${url ? 'token' : 'fleet'}? Set ${url ? 'HEARTH_TOKEN (make one in the console)' : 'HEARTH_URL and HEARTH_TOKEN'}, ` +
      'or run this where `npm start` keeps its data',
  };
}

function readFile(name: string): Connection | null {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(name, 'utf8')));
  } catch {
    return null;
  }
}
