import type { SettingsChange } from '#protocol/household.ts';
import type { TestBox } from './box.ts';

const PASSWORD = 'a lamp beside the door';

/** The household at its dashboard: sets the password once, and decides through the box's API. */
export class TestHousehold {
  readonly #box: Pick<TestBox, 'lanUrl'>;

  constructor(box: Pick<TestBox, 'lanUrl'>) {
    this.#box = box;
  }

  /** Changes settings. A box that was started again has forgotten who was logged in. */
  async decide(change: SettingsChange): Promise<void> {
    const cookie = await this.#enter();
    await this.#call('PATCH', '/api/settings', change, cookie);
  }

  /** What the box says at this place of its API. */
  async ask(path: string): Promise<unknown> {
    const response = await this.#call('GET', path, undefined, await this.#enter());
    return response.json();
  }

  /** Has the box do something. @throws Error with the status and the box's answer, when it will not */
  async send(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<void> {
    const response = await this.#call(method, path, body, await this.#enter());
    await response.arrayBuffer();
  }

  async #enter(): Promise<string> {
    const session = await (await this.#call('GET', '/api/session')).json();
    const { setupNeeded } = session as { setupNeeded: boolean };
    const door = setupNeeded ? '/api/setup' : '/api/login';
    const response = await this.#call('POST', door, { password: PASSWORD });
    return response.headers.get('set-cookie')?.split(';')[0] ?? '';
  }

  async #call(method: string, path: string, body?: unknown, cookie = ''): Promise<Response> {
    const response = await fetch(`${this.#box.lanUrl}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        'x-hearth-csrf': '1',
        ...(cookie === '' ? {} : { cookie }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }
}
