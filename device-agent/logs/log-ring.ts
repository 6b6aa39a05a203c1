import type { DestinationStream } from 'pino';
import type { LogLine } from '#protocol/http-box.ts';
import { LOG_LEVELS } from '#protocol/http-box.ts';
import { redact, redactDeep } from './redact.ts';

const KEPT_LINES = 500;
const MOST_LINE_CHARS = 4_000;
const MOST_FIELDS = 12;
const MOST_FIELD_CHARS = 300;
/** What every line of pino has, and the page shows otherwise or not at all. */
const OWN = new Set(['level', 'time', 'msg', 'program', 'pid', 'hostname', 'v']);

/**
 * The last lines of the log, for the household's page: bounded, with secrets taken out as they come in. Every line
 * also goes on to where logs went before, as it was.
 */
export class LogRing implements DestinationStream {
  readonly #through: DestinationStream | null;
  readonly #lines: LogLine[] = [];
  readonly #listeners: (() => void)[] = [];
  #seq = 0;

  constructor(through: DestinationStream | null) {
    this.#through = through;
  }

  write(line: string): void {
    this.#through?.write(line);
    const told = lineOf(line, this.#seq + 1);
    if (!told) return;
    this.#seq++;
    this.#lines.push(told);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    for (const listener of this.#listeners) listener();
  }

  /** Called after each line; it must not log. */
  onAdd(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Lines of at least that level after that one, oldest first. */
  list(after = 0, level: LogLine['level'] = 'debug'): LogLine[] {
    const least = LOG_LEVELS.indexOf(level);
    // A number from before a restart: everything is new.
    const from = after > this.#seq ? 0 : after;
    return this.#lines.filter((line) => line.seq > from && LOG_LEVELS.indexOf(line.level) >= least);
  }
}

function lineOf(line: string, seq: number): LogLine | null {
  if (line.length > MOST_LINE_CHARS) return null;
  let value: Record<string, unknown>;
  try {
    value = redactDeep(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return null;
  }
  const number = Number(value.level);
  const fields = Object.entries(value)
    .filter(([name]) => !OWN.has(name))
    .slice(0, MOST_FIELDS)
    .map(([name, inner]) => [
      name.slice(0, 60),
      redact(typeof inner === 'string' ? inner : JSON.stringify(inner)).slice(0, MOST_FIELD_CHARS),
    ]);
  return {
    seq,
    at: typeof value.time === 'string' ? value.time : new Date(Number(value.time) || 0).toISOString(),
    level: number >= 50 ? 'error' : number >= 40 ? 'warn' : number >= 30 ? 'info' : 'debug',
    text: String(value.msg ?? '').slice(0, MOST_FIELD_CHARS),
    fields: Object.fromEntries(fields),
  };
}
