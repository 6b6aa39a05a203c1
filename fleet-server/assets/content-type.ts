/** For origins that send no Content-Type: what the media and web files of a CDN are called (IANA, HLS, DASH). */
const BY_EXTENSION: Record<string, string> = {
  m3u8: 'application/vnd.apple.mpegurl',
  mpd: 'application/dash+xml',
  ts: 'video/mp2t',
  m4s: 'video/iso.segment',
  mp4: 'video/mp4',
  webm: 'video/webm',
  mp3: 'audio/mpeg',
  vtt: 'text/vtt; charset=utf-8',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  svg: 'image/svg+xml',
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  txt: 'text/plain; charset=utf-8',
  woff2: 'font/woff2',
  wasm: 'application/wasm',
  zip: 'application/zip',
};

/** The media type by a path's extension, `application/octet-stream` where it says nothing. */
export function contentTypeFor(path: string): string {
  const extension = /\.([a-z0-9]+)$/i.exec(path)?.[1]?.toLowerCase();
  return (extension && BY_EXTENSION[extension]) || 'application/octet-stream';
}

/** Types whose files name others relative to themselves, so that a client's link must open the whole folder. */
const LINKING = new Set([
  'application/vnd.apple.mpegurl',
  'application/x-mpegurl',
  'audio/mpegurl',
  'audio/x-mpegurl',
  'application/dash+xml',
  'text/html',
  'text/css',
  'text/javascript',
  'application/javascript',
]);

/** True for playlists, manifests, pages and the like. */
export function linksToSiblings(contentType: string): boolean {
  return LINKING.has(contentType.split(';')[0]?.trim().toLowerCase() ?? '');
}
