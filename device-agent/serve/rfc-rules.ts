import assert from 'node:assert/strict';
import type { AssetManifest } from '#protocol/asset.ts';

/** What is served. */
export const text = Buffer.from(
  Array.from({ length: 400 }, (_, n) => `line ${n} of a text that shrinks\n`).join(''),
);
export const bytes = Buffer.from(Array.from({ length: 5_000 }, (_, n) => n % 251));
const lastModified = 'Wed, 01 Jul 2026 10:00:00 GMT';

export interface Asked {
  method?: string;
  /** What is asked for: `video` unless said otherwise. */
  of?: 'video' | 'text' | 'page' | 'empty' | 'nothing' | 'elsewhere' | 'malformed';
  headers?: Record<string, string>;
}

export interface Answered {
  status: number;
  headers: Map<string, string>;
  body: Buffer;
}

export interface World {
  etag: string;
  brTag: string;
  assets: Record<'video' | 'text' | 'page' | 'empty', AssetManifest>;
}

type Rule = [
  section: string,
  what: string,
  asked: (world: World) => Asked,
  check: (got: Answered, world: World) => void,
];

const status = (expected: number) => (got: Answered) => assert.equal(got.status, expected);
const header = (name: string, expected: string | RegExp | undefined) => (got: Answered) => {
  const value = got.headers.get(name);
  if (expected instanceof RegExp) assert.match(value ?? '', expected);
  else assert.equal(value, expected, name);
};
const all =
  (...checks: ((got: Answered, world: World) => void)[]) =>
  (got: Answered, world: World) => {
    for (const check of checks) check(got, world);
  };
const whole = all(status(200), (got) => assert.ok(got.body.equals(bytes)));
const part = (start: number, end: number) =>
  all(status(206), header('content-range', `bytes ${start}-${end - 1}/${bytes.length}`), (got) =>
    assert.ok(got.body.equals(bytes.subarray(start, end))),
  );
const none = (got: Answered) => assert.equal(got.body.length, 0);
const get =
  (headers: Record<string, string> = {}, of: Asked['of'] = 'video') =>
  (): Asked => ({ headers, of });
const range = (value: string, more: Record<string, string> = {}) => get({ range: value, ...more });

/** Each rule: its section, what it asks for, a request, and what is wrong with the answer. */
export const RULES: Rule[] = [
  // RFC 9110: semantics
  [
    '9110 5.5',
    'no field value has white space around it',
    get(),
    (got) => {
      for (const [name, value] of got.headers) assert.equal(value, value.trim(), name);
    },
  ],
  [
    '9110 5.6.7',
    'dates are sent as IMF-fixdate',
    get(),
    header('date', /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/),
  ],
  [
    '9110 6.6.1',
    'a server with a clock sends Date, with errors and redirects too',
    get({}, 'nothing'),
    header('date', /GMT$/),
  ],
  ['9110 8.3', 'a body has a type', get(), header('content-type', 'video/mp4')],
  ['9110 8.4', 'no coding is claimed that was not applied', get(), header('content-encoding', undefined)],
  [
    '9110 8.6',
    'Content-Length is the body’s',
    get(),
    all(whole, header('content-length', String(bytes.length))),
  ],
  ['9110 8.8.2', 'Last-Modified is the origin’s', get(), header('last-modified', lastModified)],
  [
    '9110 8.8.3',
    'an entity tag is quoted and strong',
    get(),
    (got, { etag }) => assert.equal(got.headers.get('etag'), etag),
  ],
  [
    '9110 8.8.3.3',
    'codings of one asset have different tags',
    () => ({ of: 'text', headers: { 'accept-encoding': 'br' } }),
    (got, { brTag, assets }) => {
      assert.equal(got.headers.get('etag'), brTag);
      assert.notEqual(brTag, `"${assets.text.sha256}"`);
    },
  ],
  [
    '9110 9.1',
    'an unknown method is 501 or 405 or 400',
    () => ({ method: 'BREW' }),
    (got) => assert.ok([400, 405, 501].includes(got.status)),
  ],
  ['9110 9.3.1', 'a body with GET changes nothing', get({}), whole],
  [
    '9110 9.3.2',
    'HEAD has the headers of GET and no body',
    () => ({ method: 'HEAD' }),
    all(
      status(200),
      none,
      header('content-length', String(bytes.length)),
      header('content-type', 'video/mp4'),
    ),
  ],
  [
    '9110 9.3.2',
    'HEAD of nothing has no body either',
    () => ({ method: 'HEAD', of: 'nothing' }),
    all(status(404), none),
  ],
  ['9110 9.3.3', 'POST is 405', () => ({ method: 'POST' }), status(405)],
  ['9110 9.3.4', 'PUT is 405', () => ({ method: 'PUT' }), status(405)],
  ['9110 9.3.5', 'DELETE is 405', () => ({ method: 'DELETE' }), status(405)],
  [
    '9110 9.3.7',
    'OPTIONS tells the methods',
    () => ({ method: 'OPTIONS' }),
    all(status(204), none, header('allow', 'GET, HEAD, OPTIONS')),
  ],
  [
    '9110 9.3.8',
    'TRACE does not repeat secrets',
    () => ({ method: 'TRACE', headers: { cookie: 'secret=1' } }),
    (got) => {
      assert.equal(got.status, 405);
      assert.doesNotMatch(got.body.toString(), /secret/);
    },
  ],
  ['9110 10.2.1', '405 comes with Allow', () => ({ method: 'PATCH' }), header('allow', 'GET, HEAD, OPTIONS')],
  [
    '9110 10.2.2',
    'Location of a redirect is a URL',
    get({}, 'elsewhere'),
    all(status(302), header('location', /^http:\/\/router\.test:7081\//)),
  ],
  [
    '9110 12.5.3',
    'without Accept-Encoding nothing is encoded',
    get({}, 'text'),
    all(status(200), header('content-encoding', undefined)),
  ],
  [
    '9110 12.5.3',
    'a coding with q=0 is not sent',
    get({ 'accept-encoding': 'br;q=0' }, 'text'),
    header('content-encoding', undefined),
  ],
  [
    '9110 12.5.3',
    'identity goes without saying',
    get({ 'accept-encoding': 'zstd' }, 'text'),
    all(status(200), header('content-encoding', undefined)),
  ],
  [
    '9110 12.5.3',
    'the coding that is wanted more',
    get({ 'accept-encoding': 'br;q=0.1, gzip;q=0' }, 'text'),
    header('content-encoding', 'br'),
  ],
  ['9110 12.5.5', 'what is negotiated says so', get({}, 'text'), header('vary', 'Accept-Encoding')],
  ['9110 12.5.5', 'what is not does not', get({ 'accept-encoding': 'br' }), header('vary', undefined)],
  ['9110 13.1.1', 'If-Match that fails is 412', get({ 'if-match': '"x"' }), status(412)],
  ['9110 13.1.1', 'If-Match: * holds', get({ 'if-match': '*' }), whole],
  [
    '9110 13.1.1',
    'If-Match compares strongly',
    ({ etag }) => ({ headers: { 'if-match': `W/${etag}` } }),
    status(412),
  ],
  [
    '9110 13.1.1',
    'If-Match takes a list',
    ({ etag }) => ({ headers: { 'if-match': `"a,b", ${etag}` } }),
    whole,
  ],
  [
    '9110 13.1.2',
    'If-None-Match that matches is 304',
    ({ etag }) => ({ headers: { 'if-none-match': etag } }),
    all(status(304), none),
  ],
  [
    '9110 13.1.2',
    'If-None-Match compares weakly',
    ({ etag }) => ({ headers: { 'if-none-match': `W/${etag}` } }),
    status(304),
  ],
  ['9110 13.1.2', 'If-None-Match: * is 304', get({ 'if-none-match': '*' }), status(304)],
  ['9110 13.1.2', 'If-None-Match of another is 200', get({ 'if-none-match': '"x"' }), whole],
  [
    '9110 13.1.2',
    'HEAD is 304 as well',
    ({ etag }) => ({ method: 'HEAD', headers: { 'if-none-match': etag } }),
    status(304),
  ],
  [
    '9110 13.1.3',
    'If-Modified-Since the same date is 304',
    get({ 'if-modified-since': lastModified }),
    status(304),
  ],
  [
    '9110 13.1.3',
    'since an earlier date is 200',
    get({ 'if-modified-since': 'Tue, 30 Jun 2026 10:00:00 GMT' }),
    whole,
  ],
  ['9110 13.1.3', 'a date that is none is ignored', get({ 'if-modified-since': 'yesterday' }), whole],
  [
    '9110 13.1.3',
    'ignored beside If-None-Match',
    get({ 'if-none-match': '"x"', 'if-modified-since': lastModified }),
    whole,
  ],
  [
    '9110 13.1.4',
    'If-Unmodified-Since an earlier date is 412',
    get({ 'if-unmodified-since': 'Tue, 30 Jun 2026 10:00:00 GMT' }),
    status(412),
  ],
  [
    '9110 13.1.4',
    'ignored beside If-Match',
    ({ etag }) => ({ headers: { 'if-match': etag, 'if-unmodified-since': 'Tue, 30 Jun 2026 10:00:00 GMT' } }),
    whole,
  ],
  [
    '9110 13.1.5',
    'If-Range that holds',
    ({ etag }) => ({ headers: { range: 'bytes=0-9', 'if-range': etag } }),
    part(0, 10),
  ],
  ['9110 13.1.5', 'If-Range that does not gives the whole', range('bytes=0-9', { 'if-range': '"x"' }), whole],
  [
    '9110 13.1.5',
    'If-Range is no place for a weak tag',
    ({ etag }) => ({ headers: { range: 'bytes=0-9', 'if-range': `W/${etag}` } }),
    whole,
  ],
  [
    '9110 13.1.5',
    'If-Range by the exact date',
    range('bytes=0-9', { 'if-range': lastModified }),
    part(0, 10),
  ],
  [
    '9110 13.1.5',
    'If-Range by another date',
    range('bytes=0-9', { 'if-range': 'Thu, 02 Jul 2026 10:00:00 GMT' }),
    whole,
  ],
  ['9110 13.1.5', 'without Range it means nothing', get({ 'if-range': '"x"' }), whole],
  [
    '9110 13.2.2',
    'a condition comes before a range',
    ({ etag }) => ({ headers: { range: 'bytes=99999-', 'if-none-match': etag } }),
    status(304),
  ],
  ['9110 14.1.2', 'a first and a last byte', range('bytes=0-499'), part(0, 500)],
  ['9110 14.1.2', 'a last byte beyond the end', range('bytes=4000-99999'), part(4000, 5000)],
  ['9110 14.1.2', 'an open end', range('bytes=4500-'), part(4500, 5000)],
  ['9110 14.1.2', 'the last bytes', range('bytes=-500'), part(4500, 5000)],
  ['9110 14.1.2', 'more last bytes than there are', range('bytes=-99999'), part(0, 5000)],
  ['9110 14.1.2', 'units in any case', range('Bytes=0-9'), part(0, 10)],
  ['9110 14.2', 'other units are ignored', range('lines=0-9'), whole],
  ['9110 14.2', 'what is malformed is ignored', range('bytes=5-2'), whole],
  [
    '9110 14.2',
    'HEAD knows no ranges',
    () => ({ method: 'HEAD', headers: { range: 'bytes=0-9' } }),
    all(status(200), header('content-length', '5000')),
  ],
  ['9110 14.3', 'Accept-Ranges', get(), header('accept-ranges', 'bytes')],
  [
    '9110 14.4',
    'several parts have no Content-Range of their own',
    range('bytes=0-9,1000-1009'),
    all(
      status(206),
      header('content-range', undefined),
      header('content-type', /^multipart\/byteranges; boundary=/),
    ),
  ],
  [
    '9110 14.6',
    'each part says what it is',
    range('bytes=0-9,1000-1009'),
    (got) => {
      const said = [...got.body.toString('latin1').matchAll(/\r\nContent-Range: (.*?)\r\n/g)].map(
        ([, value]) => value,
      );
      assert.deepEqual(said, ['bytes 0-9/5000', 'bytes 1000-1009/5000']);
    },
  ],
  [
    '9110 15.3.7',
    '206 has the validators of 200',
    range('bytes=0-9'),
    (got, { etag }) => {
      assert.equal(got.headers.get('etag'), etag);
      assert.equal(got.headers.get('cache-control'), 'public, max-age=60');
      assert.equal(got.headers.get('content-length'), '10');
    },
  ],
  ['9110 15.3.7.2', 'one part is not sent as multipart', range('bytes=0-9,5-20'), part(0, 21)],
  [
    '9110 15.4.5',
    '304 has the validators of 200 and no length of a body it lacks',
    ({ etag }) => ({ headers: { 'if-none-match': etag } }),
    (got, { etag }) => {
      assert.equal(got.headers.get('etag'), etag);
      assert.equal(got.headers.get('cache-control'), 'public, max-age=60');
      assert.equal(got.headers.get('content-type'), undefined);
      assert.ok([undefined, '5000'].includes(got.headers.get('content-length')));
    },
  ],
  [
    '9110 15.4.5',
    '304 of what is negotiated has Vary',
    ({ brTag }) => ({ of: 'text', headers: { 'accept-encoding': 'br', 'if-none-match': brTag } }),
    all(status(304), header('vary', 'Accept-Encoding')),
  ],
  [
    '9110 15.5.17',
    '416 tells the length',
    range('bytes=5000-'),
    all(status(416), header('content-range', 'bytes */5000')),
  ],
  [
    '9110 15.5.17',
    'no range of nothing',
    () => ({ of: 'empty', headers: { range: 'bytes=0-' } }),
    all(status(416), header('content-range', 'bytes */0')),
  ],
  ['9110 15.5.1', 'an address that is none is 400', get({}, 'malformed'), status(400)],
  [
    '9110 15.5.5',
    'what is not there is 404 and says so',
    get({}, 'nothing'),
    all(status(404), header('content-type', /^text\/plain/)),
  ],
  // RFC 9111: caching
  ['9111 5.1', 'a cache sends Age, whole seconds', get(), header('age', /^\d+$/)],
  ['9111 5.1', 'with 304 and 206 too', range('bytes=0-9'), header('age', /^\d+$/)],
  ['9111 5.2.2', 'Cache-Control is the origin’s', get(), header('cache-control', 'public, max-age=60')],
  [
    '9111 5.2.2.5',
    'a redirect made for one client is not stored',
    get({}, 'elsewhere'),
    header('cache-control', 'no-store'),
  ],
  ['9111 5.2.2.5', 'nor is an error', range('bytes=5000-'), header('cache-control', 'no-store')],
  [
    '9111 5.2.1',
    'what a client says of its cache does not make us fetch',
    get({ 'cache-control': 'no-cache', pragma: 'no-cache' }),
    whole,
  ],
  // The Fetch standard: CORS
  [
    'Fetch 3.3',
    'any page may read content',
    get({ origin: 'https://a.test' }),
    header('access-control-allow-origin', '*'),
  ],
  [
    'Fetch 3.3',
    'and errors',
    get({ origin: 'https://a.test' }, 'nothing'),
    header('access-control-allow-origin', '*'),
  ],
  ['Fetch 3.6', 'types are what they are called', get(), header('x-content-type-options', 'nosniff')],
  [
    'CSP 3 6.3',
    'a page of a site is nobody’s here',
    get({}, 'page'),
    header('content-security-policy', /^sandbox /),
  ],
];
