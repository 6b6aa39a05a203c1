/** Headers of a request that what it is answered depends on: all that another process must be told to decide it. */
export const DECIDING_HEADERS = [
  'accept-encoding',
  'content-length',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
  'transfer-encoding',
] as const;
