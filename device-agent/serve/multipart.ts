import { randomBytes } from 'node:crypto';
import type { Span } from './range.ts';
import type { Part } from './reply.ts';

/**
 * Several spans as multipart/byteranges (RFC 9110 section 14.6). The boundary is random: content that could foretell
 * it could pass for other parts.
 */
export function multipartOf(
  spans: readonly Span[],
  contentType: string,
  sizeBytes: number,
): { contentType: string; parts: Part[]; closing: Buffer; lengthBytes: number } {
  const boundary = randomBytes(15).toString('base64url');
  const closing = Buffer.from(`\r\n--${boundary}--\r\n`);
  let lengthBytes = closing.length;
  const parts = spans.map(({ start, end }, index): Part => {
    const before = Buffer.from(
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${contentType}\r\n` +
        `Content-Range: bytes ${start}-${end - 1}/${sizeBytes}\r\n\r\n`,
      'latin1',
    );
    lengthBytes += before.length + end - start;
    return { before, start, end };
  });
  return { contentType: `multipart/byteranges; boundary=${boundary}`, parts, closing, lengthBytes };
}
