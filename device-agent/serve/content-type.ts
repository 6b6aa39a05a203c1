/** What a browser does with a type decides what must be said beside it. */

/** RFC 9110 section 8.3.1: type, subtype and parameters. */
const MEDIA_TYPE =
  /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+(?:[ \t]*;[ \t]*[\w!#$%&'*+.^`|~-]+=(?:[\w!#$%&'*+.^`|~-]+|"(?:[^"\\]|\\.)*"))*;?$/;
/** Types a browser opens as a document that can run scripts. */
const ACTIVE = /^(?:text\/(?:html|xml|xsl)|application\/xml|[^/]+\/[^/]+\+xml)$/;
/** Types whose parts are documents of their own: no policy of ours reaches them. */
const ENVELOPE = /^(?:multipart\/|message\/)/;

/**
 * All sites on a box share one origin (scheme, host, port), so a page of one could read what a page of another
 * keeps in the browser, or register a service worker over both. An opaque origin of its own keeps it apart and lets
 * it work otherwise: scripts, forms and windows are what a CDN's customer expects to work. Where such an asset is
 * only embedded (an image, a feed read by a script) the policy changes nothing.
 */
const SANDBOX =
  'sandbox allow-downloads allow-forms allow-modals allow-orientation-lock allow-pointer-lock allow-popups ' +
  'allow-popups-to-escape-sandbox allow-presentation allow-scripts allow-top-navigation-by-user-activation';

/** The type to tell: what is none is bytes, and is downloaded and not guessed at. */
export function toldType(contentType: string): string {
  return MEDIA_TYPE.test(contentType) ? contentType : 'application/octet-stream';
}

/** Headers that keep an asset of an active type from acting for the box's origin; none for the others. */
export function guardsOf(contentType: string): readonly string[] {
  const type = bareType(toldType(contentType));
  if (ACTIVE.test(type)) return ['Content-Security-Policy', SANDBOX];
  if (ENVELOPE.test(type)) {
    return ['Content-Security-Policy', 'sandbox', 'Content-Disposition', 'attachment'];
  }
  return [];
}

/** Text is worth compressing; images, video, archives and most fonts are compressed already. */
const TEXT =
  /^(?:text\/.+|application\/(?:javascript|ecmascript|json|xml|wasm|manifest|vnd\.apple\.mpegurl|x-mpegurl|vnd\.ms-fontobject|x-javascript)|audio\/(?:x-)?mpegurl|font\/(?:ttf|otf)|application\/x-font-ttf|[^/]+\/[^/]+\+(?:json|xml)|image\/(?:bmp|x-icon|vnd\.microsoft\.icon))$/;

/** True for types that shrink, by the name alone. */
export function isTextual(contentType: string): boolean {
  return TEXT.test(bareType(contentType));
}

function bareType(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}
