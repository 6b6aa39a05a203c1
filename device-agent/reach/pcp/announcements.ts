import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { plainAddress } from '#protocol/addresses.ts';
import { readAnswer as readNatPmp } from '../natpmp/codec.ts';
import { CLIENT_PORT, readAnswer } from './codec.ts';

const GROUP = '224.0.0.1';
/** RFC 6887 section 14.1.3: clients wait up to 5 s, so that a house full of them does not come at once. */
const MOST_WAIT_MS = 5_000;

export interface AnnouncementOptions {
  /** The routers that may speak: others are not listened to. */
  routers: () => (string | undefined)[];
  onRestart: () => void;
  random?: () => number;
}

/**
 * Hears routers say that they were restarted or have another address, by PCP (RFC 6887 section 14.1) and NAT-PMP (RFC
 * 6886 section 3.2.1). It only makes us look sooner: a forged one costs the router two packets.
 */
export class Announcements {
  readonly #options: AnnouncementOptions;
  #socket: Socket | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: AnnouncementOptions) {
    this.#options = options;
  }

  /** Where the port is taken (another client on this machine) the box does without. */
  start(): void {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    this.#socket = socket;
    socket.on('error', () => this.close());
    socket.on('message', (packet, { address }) => {
      if (this.#timer || !this.#isAnnouncement(packet, address)) return;
      const wait = (this.#options.random ?? Math.random)() * MOST_WAIT_MS;
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#options.onRestart();
      }, wait);
      this.#timer.unref();
    });
    socket.bind(CLIENT_PORT, () => {
      try {
        socket.addMembership(GROUP);
      } catch {
        // No interface takes multicast now; unicast announcements are heard all the same.
      }
    });
    socket.unref();
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    try {
      socket?.close();
    } catch {}
  }

  #isAnnouncement(packet: Buffer, from: string): boolean {
    const sender = plainAddress(from);
    if (!this.#options.routers().some((router) => router && plainAddress(router) === sender)) return false;
    return readAnswer(packet, null).kind === 'announce' || readNatPmp(packet, null).kind === 'address';
  }
}
