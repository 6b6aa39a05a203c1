import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '#agent/time/clock.ts';
import type { ErrorCode } from '#protocol/errors.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import type { Command, DownMessage, Earnings, Reply } from '#protocol/messages.ts';
import { clip, PROTOCOL_VERSION, parseDown } from '#protocol/messages.ts';
import { openCommand } from '#protocol/signing.ts';
import { parseTopic } from '#protocol/topics.ts';

export type Outcome = Reply['outcome'];
export type CommandResult = Extract<Outcome, { ok: true }>['result'];

export interface InboxOptions {
  boxId: string;
  /** Ed25519, SPKI PEM. */
  commandKey: string;
  clock: Clock;
  log: Logger;
  /** Carries out a command; what it throws is the reply. */
  execute: (command: Command) => Promise<CommandResult>;
  reply: (reply: Reply) => void;
  onDeliveriesAck: (ack: DownMessage<'deliveries-ack'>) => void;
  onEarnings: (earnings: Earnings) => void;
  onSources: (sources: DownMessage<'sources'>) => void;
  onAwaySessions: (message: DownMessage<'away-sessions'>) => void;
  onDialled: (dialled: DownMessage<'dialled'>) => void;
  onEvictionsVerdict: (verdict: DownMessage<'evictions-verdict'>) => void;
  onRefused: (code: ErrorCode, reason: string) => void;
}

/** Outcomes remembered for commands that come again. */
const REMEMBERED = 1_000;
/** Commands waiting for their turn; the fleet keeps to 32. */
const MOST_WAITING = 256;
const LOG_EVERY_MS = 10_000;

/**
 * Everything the fleet sends comes through here: topic, shape, signature, addressee and expiry are checked, and
 * what fails is counted and dropped. A command is carried out once and answered as often as it comes.
 */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #key: KeyObject;
  /** By command id; null while it is being carried out. */
  readonly #outcomes = new Map<string, Outcome | null>();
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #refused = 0;
  /** A `configure` came in this session. */
  #configured = false;
  #loggedAtMs = Number.NEGATIVE_INFINITY;
  #unlogged = 0;

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#key = createPublicKey(options.commandKey);
  }

  /** Messages refused since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** A new connection has begun. */
  beginSession(): void {
    this.#configured = false;
  }

  /** Takes a message from the link. Never throws. */
  take(topic: string, payload: Buffer): void {
    try {
      const parsed = parseTopic(topic);
      if (parsed.boxId !== this.#options.boxId || parsed.direction !== 'down') {
        throw new HearthError('topic_unknown', `"${topic.slice(0, 120)}" is not for this box`);
      }
      switch (parsed.kind) {
        case 'command':
          this.#takeCommand(parseDown('command', payload));
          return;
        case 'deliveries-ack':
          this.#options.onDeliveriesAck(parseDown('deliveries-ack', payload));
          return;
        case 'away-sessions':
          this.#options.onAwaySessions(parseDown('away-sessions', payload));
          return;
        case 'dialled':
          this.#options.onDialled(parseDown('dialled', payload));
          return;
        case 'evictions-verdict':
          this.#options.onEvictionsVerdict(parseDown('evictions-verdict', payload));
          return;
        case 'sources':
          this.#options.onSources(parseDown('sources', payload));
          return;
        case 'earnings': {
          const earnings = parseDown('earnings', payload);
          if (earnings.boxId !== this.#options.boxId) {
            throw new HearthError('message_malformed', 'these earnings are those of another box');
          }
          this.#options.onEarnings(earnings);
          return;
        }
      }
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** Waits for the commands under way. */
  async close(): Promise<void> {
    await this.#turn;
  }

  #takeCommand(envelope: DownMessage<'command'>): void {
    const { boxId } = this.#options;
    const command = openCommand(envelope, this.#key, boxId, null);
    this.#checkExpiry(command);
    const outcome = this.#outcomes.get(command.id);
    if (outcome) {
      this.#reply(command.id, outcome);
      return;
    }
    // Being carried out: its reply is on the way.
    if (outcome === null) return;
    if (this.#waiting >= MOST_WAITING) {
      throw new HearthError('rate_limited', `${this.#waiting} commands wait already`);
    }
    this.#remember(command.id, null);
    this.#waiting++;
    this.#turn = this.#turn.then(() => this.#execute(command)).finally(() => this.#waiting--);
  }

  /**
   * Too late is judged by the fleet's own time and never by the local clock, which may be decades off; the first
   * `configure` of a session tells that time, and is taken whatever we thought it was.
   */
  #checkExpiry(command: Command): void {
    const { clock } = this.#options;
    if (command.body.type === 'configure' && !this.#configured) {
      this.#configured = true;
      return;
    }
    const now = clock.learnt ? clock.fleetNow() : null;
    if (now !== null && Date.parse(command.expiresAt) <= now) {
      throw new HearthError('message_expired', `the command expired at ${command.expiresAt}`);
    }
  }

  async #execute(command: Command): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = { ok: true, result: await this.#options.execute(command) };
    } catch (error) {
      const code = isHearthError(error) ? error.code : 'internal';
      outcome = { ok: false, error: { code, message: clip(messageOf(error)) } };
      this.#options.log.warn(
        { command: command.body.type, code, reason: messageOf(error) },
        'command refused',
      );
    }
    this.#remember(command.id, outcome);
    this.#reply(command.id, outcome);
  }

  #reply(commandId: string, outcome: Outcome): void {
    this.#options.reply({ v: PROTOCOL_VERSION, at: this.#options.clock.stamp(), commandId, outcome });
  }

  #remember(commandId: string, outcome: Outcome | null): void {
    this.#outcomes.set(commandId, outcome);
    for (const oldest of this.#outcomes.keys()) {
      if (this.#outcomes.size <= REMEMBERED) break;
      this.#outcomes.delete(oldest);
    }
  }

  #refuse(error: unknown): void {
    this.#refused++;
    const code = isHearthError(error) ? error.code : 'internal';
    this.#options.onRefused(code, messageOf(error));
    const now = this.#options.clock.monotonic();
    if (now - this.#loggedAtMs < LOG_EVERY_MS) {
      this.#unlogged++;
      return;
    }
    this.#options.log.warn(
      { code, reason: messageOf(error), others: this.#unlogged },
      'a message from the fleet was refused',
    );
    this.#loggedAtMs = now;
    this.#unlogged = 0;
  }
}
