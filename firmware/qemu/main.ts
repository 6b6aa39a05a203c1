import { parseArgs } from 'node:util';
import { readRootOfTrust } from '#packaging/root-of-trust.ts';
import { messageOf } from '#protocol/errors.ts';
import { Board } from './board.ts';
import { BOARDS } from './boards.ts';

const USAGE = `npm run qemu -- [--board ${Object.keys(BOARDS).join('|')}] [--memory MIB] [--lan-port 7070] [--content-port 7090]
                [--set OPTION=VALUE]... [--ipk FILE | --root FILE | --image FILE] [--no-clock] [--no-agent] [--refresh]
Boots an emulated board with the package installed until Ctrl-C. A line typed here runs in the board as a shell
command; "pull" and "plug" do that to the USB stick, "cut" cuts the power and restores it.
--set sets an option of /etc/config/hearth, --ipk takes a package that is made already, --root puts a root of trust
for updates into the one that is made, --image starts a whole OpenWrt image (npm run firmware makes one) in place of
Debian's kernel and busybox.`;

const PATIENCE_MS = 120_000;
/** By hand one may want to look around for long. */
const LIFETIME_MS = 12 * 3_600_000;

function options() {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      board: { type: 'string', default: 'orangepi-pc' },
      memory: { type: 'string' },
      'lan-port': { type: 'string', default: '7070' },
      'content-port': { type: 'string', default: '7090' },
      set: { type: 'string', multiple: true, default: [] },
      ipk: { type: 'string' },
      root: { type: 'string' },
      image: { type: 'string' },
      clock: { type: 'boolean', default: true },
      agent: { type: 'boolean', default: true },
      refresh: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const port = (text: string) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > 65_535) throw new Error(`${text} is not a port`);
    return value;
  };
  const lan = port(values['lan-port']);
  const content = port(values['content-port']);
  const given = values.set.map((text): [string, string] => {
    const [, name, value] = /^([a-z0-9_]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined) throw new Error(`--set wants OPTION=VALUE, not ${text}`);
    return [name, value ?? ''];
  });
  return {
    help: values.help,
    lan,
    content,
    board: {
      board: values.board,
      memoryMib: values.memory === undefined ? undefined : Number(values.memory),
      forwards: [
        { host: lan, guest: 7070 },
        { host: content, guest: 7090 },
      ],
      settings: { content_url: `http://127.0.0.1:${content}`, ...Object.fromEntries(given) },
      ipk: values.ipk,
      root: values.root === undefined ? undefined : readRootOfTrust(values.root),
      image: values.image,
      clockMs: values.clock ? undefined : null,
      startsAgent: values.agent,
      refresh: values.refresh,
    },
  };
}

async function obey(board: Board, line: string): Promise<void> {
  if (line === 'pull') return board.pullStick();
  if (line === 'plug') return board.plugStick();
  if (line === 'cut') {
    await board.powerOff();
    return board.powerOn();
  }
  const { code, output } = await board.run(line, PATIENCE_MS);
  process.stdout.write(output.endsWith('\n') || output === '' ? output : `${output}\n`);
  if (code !== 0) console.log(`(${code})`);
}

let chosen: ReturnType<typeof options>;
try {
  chosen = options();
} catch (error) {
  console.error(`${messageOf(error)}\n${USAGE}`);
  process.exit(2);
}
if (chosen.help) {
  console.log(USAGE);
  process.exit(0);
}

// QEMU is ended and the images are removed whichever way this ends.
let board: Board | null = null;
let stopping = false;
async function stop(code: number): Promise<never> {
  stopping = true;
  await board?.close();
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop(0));

try {
  board = await Board.prepare({
    ...chosen.board,
    lifetimeMs: LIFETIME_MS,
    log: (line) => console.log(`qemu | ${line}`),
    onDied: (reason) => {
      console.error(`qemu | ${reason}`);
      void stop(1);
    },
    onLine: (line) => console.log(`${chosen.board.board} | ${line}`),
  });
  await board.powerOn();
  console.log(
    `qemu | dashboard http://127.0.0.1:${chosen.lan}, content http://127.0.0.1:${chosen.content}, pid ${board.pid}; Ctrl-C ends it`,
  );
  let rest = '';
  for await (const text of process.stdin.setEncoding('utf8')) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines.map((one) => one.trim()).filter(Boolean)) {
      await obey(board, line).catch((error: unknown) => console.error(`qemu | ${messageOf(error)}`));
    }
  }
} catch (error) {
  if (!stopping) {
    console.error(`qemu | ${messageOf(error)}`);
    await stop(1);
  }
}
