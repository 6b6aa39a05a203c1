/**
 * A claim code as it is being typed: upper case, groups of four, letters that look alike made one, as the
 * fleet reads it (protocol/ids.ts). At most 12 characters count.
 */
export function tidyClaimCode(typed: string): string {
  const characters = typed
    .toUpperCase()
    .replace(/[^0-9A-Z]/g, '')
    .replace(/O/g, '0')
    .replace(/[IL]/g, '1')
    .slice(0, 12);
  return characters.replace(/(.{4})(?=.)/g, '$1-');
}

/** Whether a code is whole; the letter U is in none. */
export function isWholeClaimCode(code: string): boolean {
  return /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}$/.test(code);
}
