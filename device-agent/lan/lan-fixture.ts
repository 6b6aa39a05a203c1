import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type * as z from 'zod';
import { ActivityLog } from '#agent/activity/activity.ts';
import { LogRing } from '#agent/logs/log-ring.ts';
import { Household } from '#agent/settings/household.ts';
import { silent, tempFolder } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { Uplink } from '#agent/uplink/uplink.ts';
import { HearthError } from '#protocol/errors.ts';
import { DEFAULT_HOUSEHOLD } from '#protocol/household.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import { errorBodySchema } from '#protocol/http-fleet.ts';
import type { BoxView } from './box-view.ts';
import { LanServer } from './lan-server.ts';
import { LoginLimit } from './login-limit.ts';
import { Password } from './password.ts';
import { Sessions } from './sessions.ts';
import { StaticFiles } from './static-files.ts';

export const PASSWORD = 'correct horse battery';

export interface Answer {
  status: number | undefined;
  headers: http.IncomingHttpHeaders;
  text: string;
  /** Null when it is no JSON. */
  json: unknown;
  /** The body as the protocol says it is. */
  as: <T>(schema: z.ZodType<T>) => T;
  /** The code and message of a refusal. */
  refusal: () => { code: string; message: string };
  set: string | undefined;
}

/** The LAN server over real settings, sessions and logs; `view` takes the place of parts. */
export async function serveLan(t: TestContext, view: Partial<BoxView> = {}) {
  const folder = await tempFolder(t, 'lan');
  const webui = path.join(folder, 'webui');
  const time = { ms: 0 };
  const password = new Password(folder);
  await password.open();
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  const activity = new ActivityLog(() => new Date().toISOString());
  const logs = new LogRing(null);
  const uplink = new Uplink({ household, clock: new Clock(), log: silent, onTrouble: (error) => error });
  t.after(() => uplink.close());
  const status = { connections: 0 };
  const paired: [string, string | null][] = [];
  const lan = new LanServer({
    password,
    sessions: new Sessions(() => time.ms),
    loginLimit: new LoginLimit(() => time.ms),
    files: new StaticFiles(webui),
    ownName: 'mybox',
    log: silent,
    onPasswordSet: (address) => activity.add('password_set', { address }),
    view: {
      status: () =>
        ({ box: { id: null, uptimeMs: Date.now() }, serving: { ...status } }) as unknown as BoxStatus,
      content: (query) => ({ items: [], next: query.after ?? null }),
      earnings: () => null,
      activity,
      defaultFleetUrl: () => 'https://fleet.test',
      pair: async (code, url) => {
        if (url?.startsWith('http://'))
          throw new HearthError('insecure_fleet_url', 'must begin with https://');
        paired.push([code, url]);
      },
      settings: household,
      network: () => ({
        addresses: [],
        lanUrl: '',
        contentUrl: '',
        routerUrl: null,
        fleetUrl: null,
        link: { state: 'unpaired', since: '2026-01-01T00:00:00.000Z', problem: null },
      }),
      disks: null,
      uplink,
      testUplink: null,
      scrub: null,
      reach: null,
      logs,
      away: null,
      ...view,
    },
  });
  const port = await lan.listen(0, '127.0.0.1');
  t.after(() => lan.close());
  let cookie = '';
  const ask = (method: string, target: string, headers: http.OutgoingHttpHeaders) =>
    http.request({
      host: '127.0.0.1',
      port,
      path: target,
      method,
      agent: false,
      headers: { 'content-type': 'application/json', host: `127.0.0.1:${port}`, cookie, ...headers },
    });
  const call = async (
    method: string,
    target: string,
    body?: unknown,
    headers: http.OutgoingHttpHeaders = { 'x-hearth-csrf': '1' },
  ): Promise<Answer> => {
    const request = ask(method, target, headers);
    request.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    let text = '';
    for await (const piece of response) text += String(piece);
    const set = response.headers['set-cookie']?.[0];
    if (set) cookie = set.split(';')[0] ?? '';
    const isJson = response.headers['content-type']?.startsWith('application/json');
    const json: unknown = isJson ? JSON.parse(text) : null;
    return {
      status: response.statusCode,
      headers: response.headers,
      text,
      json,
      as: (schema) => schema.parse(json),
      refusal: () => errorBodySchema.parse(json).error,
      set,
    };
  };
  /** Opens the stream of events; what came so far is in `text`. */
  const listen = async (headers: http.OutgoingHttpHeaders = {}, query = '') => {
    const request = ask('GET', `/api/events${query}`, headers);
    request.on('error', () => undefined);
    request.end();
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const stream = {
      status: response.statusCode,
      headers: response.headers,
      text: '',
      ended: false,
      request,
    };
    response.setEncoding('utf8');
    response.on('data', (piece) => {
      stream.text += piece;
    });
    response.on('error', () => undefined);
    response.on('close', () => {
      stream.ended = true;
    });
    return stream;
  };
  const forget = () => {
    cookie = '';
  };
  const cookieNow = () => cookie;
  return {
    folder,
    webui,
    time,
    call,
    listen,
    forget,
    cookieNow,
    paired,
    port,
    password,
    household,
    activity,
    logs,
    status,
    lan,
  };
}
