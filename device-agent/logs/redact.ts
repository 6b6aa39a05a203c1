/** What a secret looks like wherever one may have slipped into a text: each with what stays of it. */
const PATTERNS: [RegExp, string][] = [
  // PEM, whole or cut off.
  [/-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)[\s\S]*?(?:-----END [A-Z ]*-----|$)/g, '[key]'],
  [
    /\b(authorization|cookie|set-cookie|password|passwd|secret)\b(["']?\s*[:=]\s*["']?)[^"'\n]+/gi,
    '$1$2[secret]',
  ],
  [/\b(hearth_box_session=)[^;\s"']+/gi, '$1[session]'],
  // user:password in a URL.
  [/(\w+:\/\/)[^\s/@]+@/g, '$1[secret]@'],
  // Claim codes, protocol/ids.ts.
  [/\b[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){2}\b/gi, '[claim code]'],
];
/** Keys, hashes of passwords, tokens and session cookies are all long runs of base64. */
const LONG_RUN = /[A-Za-z0-9_+/=-]{40,}/g;
const PADDED = /(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{4}){5,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)/g;

/** A text with everything taken out that looks like a secret. */
export function redact(text: string): string {
  let clean = text;
  for (const [pattern, instead] of PATTERNS) clean = clean.replace(pattern, instead);
  return clean.replace(PADDED, '[secret]').replace(LONG_RUN, redactRun);
}

/** Rather a path too many than a key: between slashes nothing may be long, or look thrown like dice. */
function redactRun(run: string): string {
  const parts = run.split('/');
  // A content's SHA-256 is no secret, and what an engineer looks for first.
  const plain = parts.every((part) => part.length < 40 || /^[0-9a-f]{64}$/.test(part));
  const mixed = parts.length > 1 && /[a-z]/.test(run) && /[A-Z]/.test(run) && /[0-9]/.test(run);
  return plain && !mixed ? run : '[secret]';
}

const SECRET_NAMES =
  /pass(word|wd)|secret|cookie|token|authorization|private|claimcode|deliverykey|salt|hash$/i;

/** The same for everything in a JSON value, by the names of its fields as well. */
export function redactDeep(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(redactDeep);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      redact(name),
      SECRET_NAMES.test(name) && typeof inner === 'string' ? '[secret]' : redactDeep(inner),
    ]),
  );
}
