import { UsageError } from '#fleet/cli/usage.ts';
import type { FleetApi } from '#fleet/client/fleet-api.ts';
import { duration, table, time } from '#fleet/client/format.ts';
import { numberOf, versionOf } from '#fleet/releases/cli.ts';
import { boxSchema, pageOf } from '#protocol/http-fleet.ts';
import { architectureSchema } from '#protocol/release.ts';
import {
  ROLLOUT_ACTIONS,
  type Rollout,
  type RolloutDetail,
  rolloutActionSchema,
  rolloutDetailSchema,
  rolloutListSchema,
} from '#protocol/rollout.ts';

/** What `hearth rollout` is given. */
export interface RolloutArguments {
  words: string[];
  json: boolean;
  yes: boolean;
  box: string[];
  canary: string[];
  architecture: string[];
  label?: string | undefined;
  waves?: string | undefined;
  soak?: string | undefined;
  success?: string | undefined;
  window?: string | undefined;
  'no-roll-back'?: boolean | undefined;
}

interface Output {
  print(text: string): void;
}

/** `hearth rollout [list|start|show|pause|resume|halt|roll-back|cancel]` */
export async function rollout(api: FleetApi, args: RolloutArguments, out: Output): Promise<void> {
  const [action = 'list', word] = args.words;
  if (action === 'list') {
    const { items } = await api.get('/rollouts', rolloutListSchema);
    if (args.json) return out.print(`${JSON.stringify(items, null, 2)}\n`);
    return out.print(
      table(
        ['ID', 'VERSION', 'STATE', 'WAVE', 'UPDATED', 'FAILED', 'BOXES', 'BEGUN'],
        items.map((item) => [
          item.id,
          item.version,
          item.state,
          `${item.wave + 1}/${item.waves.length}`,
          total(item, 'updated'),
          total(item, 'failed'),
          item.waves.reduce((sum, wave) => sum + wave.boxes, 0),
          time(item.createdAt),
        ]),
      ),
    );
  }
  if (action === 'start') {
    if (word === undefined) throw new UsageError('which version? "hearth release list" shows what there is');
    return show(args, out, await api.post('/rollouts', await wishOf(api, args, word), rolloutDetailSchema));
  }
  const id = word ?? (await newest(api));
  if (action === 'show') return show(args, out, await api.get(`/rollouts/${id}`, rolloutDetailSchema));
  const known = rolloutActionSchema.safeParse(action);
  if (!known.success) {
    throw new UsageError(
      `hearth rollout has no "${action}"; it has list, start, show, ${ROLLOUT_ACTIONS.join(', ')}`,
    );
  }
  if ((action === 'roll-back' || action === 'cancel') && !args.yes) {
    throw new UsageError(`to ${action} is for all of its boxes; say --yes`);
  }
  return show(args, out, await api.post(`/rollouts/${id}/${action}`, undefined, rolloutDetailSchema));
}

async function newest(api: FleetApi): Promise<string> {
  const { items } = await api.get('/rollouts', rolloutListSchema);
  const [first] = items;
  if (!first) throw new UsageError('there is no rollout; begin one by "hearth rollout start VERSION"');
  return first.id;
}

async function wishOf(api: FleetApi, args: RolloutArguments, version: string): Promise<object> {
  const named = [...args.box, ...args.canary];
  const boxes = named.length > 0 ? await api.all('/boxes', pageOf(boxSchema)) : [];
  const idOf = (name: string) => {
    const found = boxes.filter((box) => box.id === name || box.label === name);
    if (found.length === 1 && found[0]) return found[0].id;
    throw new UsageError(`${found.length === 0 ? 'no box' : `${found.length} boxes`} are called "${name}"`);
  };
  const architectures = args.architecture.map((name) => {
    const known = architectureSchema.safeParse(name);
    if (known.success) return known.data;
    throw new UsageError(`"${name}" is not armv7, arm64 or x64`);
  });
  return {
    version: versionOf(version),
    selector: {
      ...(architectures.length > 0 && { architectures }),
      ...(args.box.length > 0 && { boxIds: args.box.map(idOf) }),
      ...(args.label !== undefined && { labels: args.label }),
    },
    canaries: args.canary.map(idOf),
    ...(args.waves !== undefined && { waves: args.waves.split(',').map(Number) }),
    ...(args.soak !== undefined && { soakMs: soakOf(args.soak) }),
    ...(args.success !== undefined && { successPercent: numberOf(args.success, 90, 'success', 1, 100) }),
    ...(args.window !== undefined && { window: windowOf(args.window) }),
    rollBack: args['no-roll-back'] !== true,
  };
}

function soakOf(text: string): number {
  const ms = text === '0' ? 0 : duration(text);
  if (ms === null) throw new UsageError(`--soak is a time such as 30m, 12h or 2d, not "${text}"`);
  return ms;
}

function windowOf(text: string): { fromHour: number; toHour: number } {
  const [, from, to] = /^(\d{1,2})-(\d{1,2})$/.exec(text) ?? [];
  if (from === undefined || to === undefined || Number(from) > 23 || Number(to) > 23) {
    throw new UsageError(`--window is hours of the household's day, such as 2-5, not "${text}"`);
  }
  return { fromHour: Number(from), toHour: Number(to) };
}

function total({ waves }: Rollout, state: 'updated' | 'failed'): number {
  return waves.reduce((sum, { counts }) => sum + counts[state], 0);
}

function show(args: RolloutArguments, out: Output, detail: RolloutDetail): void {
  if (args.json) {
    out.print(`${JSON.stringify(detail, null, 2)}\n`);
    return;
  }
  const { id, version, backTo, state, wave, waves, reason } = detail;
  out.print(
    `${id}  ${version}  ${state}${reason ? `: ${reason}` : ''}${backTo ? `  (back to ${backTo})` : ''}\n\n`,
  );
  out.print(
    table(
      ['WAVE', 'PERCENT', 'BOXES', 'WAITING', 'UNDER WAY', 'UPDATED', 'FAILED', 'BACK'],
      waves.map(({ percent, boxes, counts }, at) => [
        `${at === wave ? '> ' : '  '}${at + 1}`,
        `${percent} %`,
        boxes,
        counts.pending,
        counts.ordered + counts.reverting,
        counts.updated,
        counts.failed,
        counts.reverted,
      ]),
    ),
  );
  out.print('\n');
  out.print(
    table(
      ['BOX', 'WAVE', 'STATE', 'RUNS', 'WHY'],
      detail.targets.map((target) => [
        target.label,
        target.wave + 1,
        `${target.state}${target.online ? '' : ', offline'}`,
        target.version ?? '-',
        target.reason
          ? `${target.reason.code}: ${target.reason.message}`
          : (target.progress?.reason?.message ?? '-'),
      ]),
    ),
  );
}
