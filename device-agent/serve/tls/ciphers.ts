import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';

const AES = ['TLS_AES_128_GCM_SHA256', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'];
const CHACHA = [
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];
const AES256 = ['TLS_AES_256_GCM_SHA384', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'];

/** Whether the CPU has instructions for AES, as Linux tells it; true where nobody tells. */
export function hasAes(cpuinfo: string | null): boolean {
  if (cpuinfo === null) return true;
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1];
  return flags === undefined || / aes( |$)/.test(flags);
}

/** What the kernel says of the CPU. */
export function readCpuinfo(): string | null {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return null;
  }
}

/**
 * Ciphers in the order of what they cost this machine: without AES instructions (Allwinner H3: Cortex-A7) AES-GCM is
 * three times slower than ChaCha20. With them, a client that puts ChaCha20 first gets it: it has none itself.
 * Forward secrecy and authenticated encryption only (RFC 9325 section 4.2; RFC 9113 appendix A for HTTP/2).
 */
export function cipherOptions(aes: boolean): { ciphers: string; secureOptions: number } {
  const order = aes ? [...AES, ...CHACHA, ...AES256] : [...CHACHA, ...AES, ...AES256];
  return {
    ciphers: order.join(':'),
    secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE | (aes ? constants.SSL_OP_PRIORITIZE_CHACHA : 0),
  };
}
