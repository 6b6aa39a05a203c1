import type { Socket } from 'node:net';

/**
 * What Node's own `net.Socket` stands on (lib/internal/stream_base_commons.js): nobody promises it, so it is used
 * only where `tryHandles` has seen it work in this very process.
 */
export interface TcpHandle {
  /** Whether it has been told to read. */
  reading: boolean;
  /** Called with what was read in `state[READ]`: bytes, 0, or a negative error; `this` is the handle. */
  onread: (this: TcpHandle, bytes?: ArrayBuffer) => unknown;
  readonly writeQueueSize: number;
  readStart(): number;
  readStop(): number;
  /** From now on all that is read goes into this buffer. */
  useUserBuffer(buffer: Buffer): void;
  writeBuffer(request: WriteRequest, buffer: Buffer): number;
  writev(request: WriteRequest, buffers: Buffer[], allBuffers: true): number;
}

/** Stands for a write that the kernel has not taken at once; untouched by one that it has. */
export interface WriteRequest {
  oncomplete?: (status: number) => void;
  /** Keeps them from the collector. */
  buffers?: Buffer[];
}

export interface Handles {
  WriteWrap: new () => WriteRequest;
  /** Where the last call left its results, at the places below. */
  state: Int32Array;
  /** Bytes that were read, or an error. */
  readAt: number;
  /** Not 0 when the last write is still under way. */
  isAsyncAt: number;
}

interface StreamBinding {
  WriteWrap?: unknown;
  streamBaseState?: unknown;
  kReadBytesOrError?: unknown;
  kArrayBufferOffset?: unknown;
  kLastWriteWasAsync?: unknown;
}

/** Node's major versions that were tried: with others a wrong guess could end the process. */
const KNOWN_MAJORS = [20, 22];

/** The parts by their names; null where this Node has no such. */
export function findHandles(): Handles | null {
  const { binding } = process as { binding?: (name: string) => StreamBinding };
  // Elsewhere libuv reads while other code runs, and one buffer for all would be overwritten.
  if (!KNOWN_MAJORS.includes(Number.parseInt(process.versions.node, 10))) return null;
  if (process.platform !== 'linux' || typeof binding !== 'function') return null;
  let found: StreamBinding;
  try {
    found = binding.call(process, 'stream_wrap');
  } catch {
    return null;
  }
  const { WriteWrap, streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = found;
  if (typeof WriteWrap !== 'function' || !(state instanceof Int32Array)) return null;
  if (!isPlace(kReadBytesOrError, state) || !isPlace(kLastWriteWasAsync, state)) return null;
  return {
    WriteWrap: WriteWrap as Handles['WriteWrap'],
    state,
    readAt: kReadBytesOrError,
    isAsyncAt: kLastWriteWasAsync,
  };
}

function isPlace(value: unknown, state: Int32Array): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < state.length;
}

const METHODS = ['readStart', 'readStop', 'useUserBuffer', 'writeBuffer', 'writev', 'onread'] as const;

/** A plain socket's handle; null when it is not of the kind that is known here (TLS, a pipe, closed). */
export function handleOf(socket: Socket): TcpHandle | null {
  const { _handle: handle } = socket as unknown as { _handle?: Record<string, unknown> | null };
  if (handle?.constructor.name !== 'TCP') return null;
  if (typeof handle.reading !== 'boolean' || typeof handle.writeQueueSize !== 'number') return null;
  return METHODS.every((name) => typeof handle[name] === 'function')
    ? (handle as unknown as TcpHandle)
    : null;
}
