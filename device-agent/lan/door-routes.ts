import type { ServerResponse } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { Logger } from 'pino';
import { HearthError } from '#protocol/errors.ts';
import { boxLoginSchema, passwordChangeSchema, setupSchema } from '#protocol/http-box.ts';
import type { Call, Routes } from './api.ts';
import { readBody, setSessionCookie } from './api.ts';
import { checkNeighbour } from './guard.ts';
import type { LoginLimit } from './login-limit.ts';
import type { Password } from './password.ts';
import type { Sessions } from './sessions.ts';

export interface DoorParts {
  password: Password;
  sessions: Sessions;
  loginLimit: LoginLimit;
  log: Logger;
  /** The password was set, for the first time or anew, from there. */
  onPasswordSet: (address: string) => void;
}

/** Who is let in: answered to anyone on the LAN. */
export function openRoutes(parts: DoorParts): Routes {
  const { password, sessions, log } = parts;
  const state = (loggedIn: boolean) => ({ setupNeeded: !password.isSet, loggedIn });
  return {
    'GET /session': ({ secret }) => state(sessions.isLive(secret)),

    'POST /setup': async ({ request, response, address }) => {
      if (password.isSet)
        throw new HearthError('conflict', 'The password has been set already: log in with it.');
      checkNeighbour(request.socket.remoteAddress, networkInterfaces());
      const body = await readBody(request, setupSchema);
      await password.setOnce(body.password);
      log.info('the dashboard password was set');
      parts.onPasswordSet(address);
      parts.loginLimit.succeeded(address);
      setSessionCookie(response, sessions.begin());
      return state(true);
    },

    'POST /login': async (call) => {
      // The whole request first: between looking at the limit and counting against it nothing may wait, or many
      // requests that are held back half sent would all be let through by one look.
      const body = await readBody(call.request, boxLoginSchema);
      if (!password.isSet) throw new HearthError('conflict', 'Set a password first.');
      await prove(parts, call, body.password);
      // This browser's former one is over; one that was handed to it never becomes a session.
      sessions.end(call.secret);
      setSessionCookie(call.response, sessions.begin());
      return state(true);
    },

    'POST /logout': ({ secret, response }) => {
      sessions.end(secret);
      setSessionCookie(response, '', 0);
      return state(false);
    },
  };
}

/** What somebody inside may do about the door. */
export function doorRoutes(parts: DoorParts): Routes {
  return {
    'POST /password': async (call) => {
      const body = await readBody(call.request, passwordChangeSchema);
      await prove(parts, call, body.current);
      await parts.password.replace(body.next);
      // Whoever knew the old one is out, other browsers of the household too.
      parts.sessions.endAll();
      setSessionCookie(call.response, parts.sessions.begin());
      parts.log.info('the dashboard password was changed');
      parts.onPasswordSet(call.address);
      return { setupNeeded: false, loggedIn: true };
    },
  };
}

/** @throws HearthError `rate_limited`, or `not_authenticated` when the password is wrong */
async function prove(parts: DoorParts, call: Call, given: string): Promise<void> {
  const { password, loginLimit, log } = parts;
  const { address } = call;
  const waitMs = loginLimit.waitMs(address);
  if (waitMs > 0) throw tooMany(call.response, waitMs);
  loginLimit.begin(address);
  if (!(await password.matches(given))) {
    log.warn({ address }, 'a login failed');
    // Not `not_authenticated` for somebody who is logged in: the page would show them the door.
    throw parts.sessions.isLive(call.secret)
      ? new HearthError('forbidden', 'The password is wrong.')
      : new HearthError('not_authenticated', 'The password is wrong.');
  }
  loginLimit.succeeded(address);
}

function tooMany(response: ServerResponse, waitMs: number): HearthError {
  const waitS = Math.ceil(waitMs / 1000);
  response.setHeader('retry-after', waitS);
  return new HearthError('rate_limited', `Too many wrong passwords: try again in ${waitS} s.`);
}
