import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { ApiError, createApi, reachable, readError } from './api.ts';
import { explain, explainReason } from './errors.ts';
import { language } from './i18n.ts';

afterEach(() => {
  language.value = 'en';
  reachable.value = true;
});

interface Seen {
  url: string;
  init: RequestInit;
}

/** A client whose requests are answered by `answer`, with what was asked. */
function client(answer: (seen: Seen) => Response | Promise<Response>, timeoutMs?: number) {
  const seen: Seen[] = [];
  let signedOut = 0;
  const api = createApi({
    base: '/api',
    onUnauthenticated: () => {
      signedOut += 1;
    },
    fetch: async (input, init) => {
      const request = { url: String(input), init: init ?? {} };
      seen.push(request);
      return answer(request);
    },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  return { api, seen, signedOut: () => signedOut };
}

const failing = (status: number, code: string, message: string) =>
  new Response(JSON.stringify({ error: { code, message } }), { status });

test('what changes state carries the header against CSRF, what reads does not', async () => {
  const { api, seen } = client(() => new Response('{}'));
  await api.get('/status');
  await api.send('POST', '/pair', { claimCode: 'x' });
  assert.equal(new Headers(seen[0]?.init.headers).get('x-hearth-csrf'), null);
  const headers = new Headers(seen[1]?.init.headers);
  assert.equal(headers.get('x-hearth-csrf'), '1');
  assert.equal(headers.get('content-type'), 'application/json');
  assert.equal(seen[1]?.init.body, '{"claimCode":"x"}');
  assert.equal(seen[1]?.url, '/api/pair');
});

test('an empty answer is fine', async () => {
  const { api } = client(() => new Response(null, { status: 204 }));
  assert.equal(await api.send('DELETE', '/session'), undefined);
});

test("the server's code and message come through, and a lost session is told", async () => {
  const { api, signedOut } = client(() => failing(401, 'not_authenticated', 'log in'));
  await assert.rejects(api.get('/status'), (error) => {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, 'not_authenticated');
    assert.equal(error.status, 401);
    return true;
  });
  assert.equal(signedOut(), 1);
});

test('no answer marks the connection as lost, the next answer as found, even when it is an error', async () => {
  let up = false;
  const { api } = client(() => {
    if (!up) throw new TypeError('Failed to fetch');
    return failing(404, 'not_found', 'gone');
  });
  await assert.rejects(api.get('/x'), (error: ApiError) => error.code === 'unreachable');
  assert.equal(reachable.value, false);
  up = true;
  await assert.rejects(api.get('/x'), (error: ApiError) => error.code === 'not_found');
  assert.equal(reachable.value, true);
});

test('a server that hangs is a timeout', async () => {
  const { api } = client(
    ({ init }) =>
      new Promise((_resolve, reject) => {
        init.signal?.addEventListener('abort', () => reject(init.signal?.reason));
      }),
    20,
  );
  // AbortSignal.timeout alone does not keep Node waiting.
  const waiting = setTimeout(() => {}, 10_000);
  await assert.rejects(api.get('/x'), (error: ApiError) => error.code === 'timeout');
  clearTimeout(waiting);
});

test('a request given up by its owner is no lost connection', async () => {
  const { api } = client(
    ({ init }) =>
      new Promise((_resolve, reject) => {
        init.signal?.addEventListener('abort', () => reject(init.signal?.reason));
      }),
  );
  const owner = new AbortController();
  const asked = api.get('/x', owner.signal);
  owner.abort();
  await assert.rejects(asked);
  assert.equal(reachable.value, true);
});

test('answers that are not ours still become something to say', async () => {
  assert.equal(readError(502, '<html>Bad Gateway</html>').code, 'unavailable');
  assert.equal(readError(429, '').code, 'rate_limited');
  assert.equal(readError(418, 'null').code, 'unexpected');
  const { api } = client(() => new Response('<html>', { status: 200 }));
  await assert.rejects(api.get('/x'), (error: ApiError) => error.code === 'unexpected');
});

test('errors are said in the chosen language, with the detail only where it adds something', () => {
  const claim = new ApiError('claim_invalid', 403, 'no such claim');
  assert.deepEqual(explain(claim), {
    title: 'The claim code is wrong, used or expired. Ask for a new one.',
    detail: null,
  });
  assert.equal(explain(new ApiError('bad_request', 400, 'label: too long')).detail, 'Label: too long.');
  const status = explainReason('origin_status', 'http://a.example/x answered 404');
  assert.equal(status.detail, 'http://a.example/x answered 404.');
  language.value = 'zh-Hans';
  assert.match(explain(claim).title, /认领码/);
  assert.match(explain(new Error('boom')).title, /无法识别/);
});

test('a reason with a code we do not know is shown in its own words', () => {
  assert.deepEqual(explainReason('brand_new', 'the moon is full'), {
    title: 'the moon is full',
    detail: null,
  });
});
