/** Wrong arguments: exit code 2. */
export class UsageError extends Error {}

const SELECTION = ['site', 'prefix', 'asset'];
/** What each command takes: at most so many words after its name, and which options besides those of all. */
const TAKES: Record<string, { words: number; options?: string[] }> = {
  boxes: { words: 0 },
  'boxes list': { words: 0 },
  'boxes show': { words: 1 },
  'boxes claim': { words: 0, options: ['label'] },
  'boxes rename': { words: 2 },
  'boxes ask': { words: 2 },
  'boxes revoke': { words: 1, options: ['yes'] },
  sites: { words: 0 },
  'sites list': { words: 0 },
  'sites add': { words: 2, options: ['tenant'] },
  assets: { words: 0, options: ['site'] },
  'assets list': { words: 0, options: ['site'] },
  'assets add': { words: Number.POSITIVE_INFINITY, options: ['wait'] },
  'assets ingest': { words: 1 },
  assign: { words: 2, options: [...SELECTION, 'box', 'boxes', 'ttl', 'pin', 'wait'] },
  unassign: { words: 2, options: [...SELECTION, 'box'] },
  purge: { words: 2, options: SELECTION },
  ledger: { words: 0 },
  'ledger accounts': { words: 0 },
  'ledger transfers': { words: 0, options: ['account'] },
  'release keygen': { words: 1 },
  'release init': { words: 1, options: ['key', 'threshold', 'fresh-key'] },
  'release add': { words: 2, options: ['key', 'artefact', 'minimum-from', 'rollback-to', 'days'] },
  'release refresh': { words: 1, options: ['key', 'days'] },
  'release rotate': { words: 1, options: ['key', 'new-key', 'fresh-key', 'threshold'] },
  'release publish': { words: 1 },
  'release list': { words: 0 },
  release: { words: 0 },
  rollout: { words: 0 },
  'rollout list': { words: 0 },
  'rollout show': { words: 1 },
  'rollout start': {
    words: 1,
    options: ['box', 'canary', 'architecture', 'label', 'waves', 'soak', 'success', 'window', 'no-roll-back'],
  },
  'rollout pause': { words: 1 },
  'rollout resume': { words: 1 },
  'rollout halt': { words: 1 },
  'rollout roll-back': { words: 1, options: ['yes'] },
  'rollout cancel': { words: 1, options: ['yes'] },
};
const OF_ALL = ['json', 'help', 'url', 'token'];

/**
 * Refuses what a command would not heed: who says `purge SITE --box BOX` does not mean to purge it everywhere.
 * @param given the options as parsed, those not given included
 * @throws UsageError
 */
export function checkUsage(name: string, words: string[], given: Record<string, unknown>): void {
  const action = `${name} ${words[0]}`;
  const key = Object.hasOwn(TAKES, action) ? action : name;
  const takes = TAKES[key];
  if (!takes) return;
  const actions = Object.keys(TAKES).flatMap((other) =>
    other.startsWith(`${name} `) ? other.split(' ')[1] : [],
  );
  if (actions.length > 0 && key === name && words.length > 0) {
    throw new UsageError(`hearth ${name} has no "${words[0]}"; it has ${actions.join(', ')}`);
  }
  const rest = key === action ? words.slice(1) : words;
  if (rest.length > takes.words) {
    const extra = rest.slice(takes.words).map((word) => `"${word}"`);
    throw new UsageError(`hearth ${key} takes ${takes.words} arguments; ${extra.join(', ')} is too much`);
  }
  for (const [option, value] of Object.entries(given)) {
    const isGiven = Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
    if (isGiven && ![...OF_ALL, ...(takes.options ?? [])].includes(option)) {
      throw new UsageError(`hearth ${key} does not take --${option}`);
    }
  }
  if (Array.isArray(given.box) && given.box.length > 0 && given.boxes !== undefined) {
    throw new UsageError('give --boxes COUNT or --box for each, not both');
  }
}
