import type { ObjectPlace } from '#agent/store/object-files.ts';
import type { Coding } from '../encodings/variant.ts';
import type { FrontLimits } from '../limits.ts';
import type { Certificate } from '../tls/certificates.ts';

/**
 * What the main process and a worker say to each other: tuples, since there is one for each request and each grant.
 * Connections, jobs (requests that were asked about) and waits are numbered, by whoever names them first, and a number
 * is never used again.
 */

/** Said by a worker. */
export type FromWorker =
  | ['ready']
  /** A request: job, connection, method, target, the headers that decide. */
  | ['ask', number, number, string, string, Record<string, string>]
  /** What the first job promised cannot be read: what instead? That is another job. */
  | ['instead', number, number]
  /** Nothing of this job will be sent. */
  | ['forgo', number]
  /** Bytes of a job that the kernel took; 1 with the last of them. */
  | ['told', number, number, number]
  /** Bytes that may be sent are wanted: wait, connection, bytes. */
  | ['want', number, number, number]
  | ['unwant', number]
  /** Sent without asking, and granted but not sent, bytes. */
  | ['line', number, number]
  /** Bytes that were served since the last word, and connections in the fast lane now. */
  | ['tally', number, number]
  /** Where are the bytes of this key? */
  | ['locate', number, string]
  /** Reading them failed: key, SHA-256 of the object, errno or '', message. */
  | ['failed', string, string, string, string]
  /** It has taken, or closed, a connection. */
  | ['took', number]
  | ['closed', number]
  | ['log', 'warn' | 'error', Record<string, unknown>, string]
  | ['pong']
  /** Nothing is left to be done or told. */
  | ['drained'];

/** Said by the main process. */
export type ToWorker =
  | ['begin', WorkerSettings]
  /** Takes TLS with this certificate from now on. */
  | ['certificate', Certificate]
  /** What a job is answered, and bytes that may be sent at once; null: nothing, the connection is to be cut. */
  | ['reply', number, WireReply | null, number]
  /** A list of headers that replies name by this number. */
  | ['list', number, string[]]
  /** All such numbers are forgotten. */
  | ['unlist']
  /** What the Date header is to say minus this machine's clock, ms; null: no such header. */
  | ['date', number | null]
  /** Answers a want; 0: none, and none later. */
  | ['granted', number, number]
  | ['located', number, Located | null]
  /** Not to be read any more; true: nor to be sent by those that read it now. */
  | ['withdraw', string, boolean]
  | ['withdraw-all']
  | ['ping']
  /** End what can be ended within so many ms, then say so. */
  | ['drain', number];

export interface WorkerSettings {
  limits: FrontLimits;
  /** Shared by all workers, so that a client's session goes on with whichever it meets; base64. */
  ticketKeys: string;
}

/** Comes with a connection, beside the socket itself. */
export interface Handover {
  connection: number;
  isSecure: boolean;
}

/** Where an object's or a variant's file is. */
export type Located =
  | ObjectPlace
  | {
      kind: 'variant';
      root: string;
      sha256: string;
      variant: { coding: Coding; sha256: string; sizeBytes: number };
    };

export interface WireReply {
  status: number;
  /** Number of its fixed headers' list. */
  fixed: number;
  /** Null: the ones most replies have. */
  own: readonly string[] | null;
  close: boolean;
  body: WireBody;
}

/** A text; or an object: key, SHA-256, size, parts (what stands before, start, end), closing, length. */
export type WireBody = null | [string] | [string, string, number, [string, number, number][], string, number];
