import type { Visitor } from './connections.ts';
import type { OpenEntitlement } from './token-gate.ts';

/** Names and values by turns, as they go on the wire. */
export type HeaderList = readonly string[];

/** A request as every transport hands it over to be decided. */
export interface RequestHead {
  method: string;
  /** The request's target, in origin or absolute form. */
  target: string;
  /** By lower-case name; lines of one name joined by commas, as node:http does it. */
  headers: { readonly [name: string]: string | string[] | undefined };
  visitor: Visitor;
}

/** What is answered, and nothing of how: the same for every transport. */
export interface Reply {
  status: number;
  /** The same array for all replies of one kind about one asset, so that a transport may keep it serialised. */
  fixed: HeaderList;
  /** What only this reply says. */
  own: HeaderList;
  /** Null: no body at all; with a HEAD or a 304 Content-Length may speak of one nevertheless. */
  body: TextBody | ObjectBody | null;
  /** The connection is to be closed after it. */
  close: boolean;
}

export interface TextBody {
  kind: 'text';
  bytes: Buffer;
}

/** Bytes of a held object, in one piece or several. */
export interface ObjectBody {
  kind: 'object';
  entitlement: OpenEntitlement;
  assetId: string;
  source: Source;
  /** In the order in which they are sent; none for an empty object. */
  parts: readonly Part[];
  /** Sent after the last part. */
  closing: Buffer;
  /** All of it: parts, what stands before them, and the closing. */
  lengthBytes: number;
  /** What is answered instead if the object turns out not to be readable; null: nothing any more. */
  instead: () => Reply | Promise<Reply | null>;
}

/** What a body is read from. */
export interface Source {
  /** Of open files and copies in memory. */
  key: string;
  /** The object, whose variant it may be: its key is then another. */
  sha256: string;
  sizeBytes: number;
}

/** Bytes `start` up to and without `end` of the source, and what is sent before them. */
export interface Part {
  before: Buffer;
  start: number;
  end: number;
}

/** Of a copy that is as good as validated now: what most replies say of their own, and always this array. */
export const AGE_0: HeaderList = ['Age', '0'];

export const NO_BYTES = Buffer.alloc(0);

/** The value of a header that is to come once; the first line's if there are several. */
export function headerOf(headers: RequestHead['headers'], name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}
