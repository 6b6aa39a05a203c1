import { readFileSync } from 'node:fs';
import vm from 'node:vm';

/** An option of a form, as the view made it. */
export interface ShownOption {
  tab: string;
  name: string;
  kind: string;
  title: string;
  description: string | null;
  datatype?: string;
  placeholder?: string;
  default?: string;
  rmempty?: boolean;
  values: string[];
}

export interface Shown {
  /** Modules the view asks for by 'require ...'. */
  required: string[];
  /** What it called over ubus. */
  calls: { object: string; method: string; params: unknown[] }[];
  /** UCI packages it loaded. */
  loaded: string[];
  config: string;
  section: { name: string; type: string };
  tabs: string[];
  options: ShownOption[];
  /** The text of what it rendered. */
  text: string;
  links: string[];
  /** Strings given to `_()`. */
  translated: string[];
}

interface Node {
  tag: string;
  attributes: Record<string, string>;
  children: unknown[];
}

/**
 * Loads a LuCI view the way luci.js does (its `'require x'` lines become the parameters of a function around it), with
 * a stand-in for the parts of LuCI's API that Hearth's view uses, and renders it.
 * @param world what the box is like: settings, and what procd says of the service
 */
export async function showView(
  file: string,
  world: { uci: Record<string, string>; services: unknown; translate?: (text: string) => string },
): Promise<Shown> {
  const source = readFileSync(file, 'utf8');
  const required = [...source.matchAll(/^'require (\w+)';$/gm)].map(([, name]) => name ?? '');
  const shown: Shown = {
    ...{ required, calls: [], loaded: [], config: '', section: { name: '', type: '' }, tabs: [] },
    ...{ options: [], text: '', links: [], translated: [] },
  };
  class Section {
    tab(name: string): void {
      shown.tabs.push(name);
    }
    taboption(tab: string, Kind: { kind: string }, name: string, title: string, description?: string) {
      if (!shown.tabs.includes(tab)) throw new Error(`option ${name} is on tab ${tab}, which is not there`);
      const option: ShownOption & { value: (key: string) => void } = {
        ...{ tab, name, kind: Kind.kind, title, description: description ?? null, values: [] },
        value: (key) => option.values.push(key),
      };
      shown.options.push(option);
      return option;
    }
  }
  const form = {
    Map: class {
      constructor(config: string) {
        shown.config = config;
      }
      section(_: unknown, name: string, type: string) {
        shown.section = { name, type };
        return new Section();
      }
      async render(): Promise<Node> {
        return E('form');
      }
    },
    NamedSection: { kind: 'NamedSection' },
    Flag: { kind: 'Flag' },
    ListValue: { kind: 'ListValue' },
    Value: { kind: 'Value' },
  };
  const E = (tag: string | unknown[], attributes: unknown = {}, children: unknown = []): Node => {
    if (Array.isArray(tag)) return { tag: '', attributes: {}, children: attributes as unknown[] };
    const all = Array.isArray(children) ? children : [children];
    return { tag, attributes: attributes as Record<string, string>, children: all };
  };
  const modules: Record<string, unknown> = {
    form,
    view: { extend: (view: unknown) => view },
    poll: { add: () => {} },
    uci: {
      load: async (name: string) => shown.loaded.push(name),
      get: (_config: string, _section: string, option: string) => world.uci[option],
    },
    rpc: {
      declare:
        ({ object, method }: { object: string; method: string }) =>
        async (...params: unknown[]) => {
          shown.calls.push({ object, method, params });
          return world.services;
        },
    },
  };
  const translate = (text: string) => {
    shown.translated.push(text);
    return world.translate?.(text) ?? text;
  };
  const globals = {
    ...{ E, _: translate, document: {} },
    window: { location: { hostname: '192.168.1.1' } },
    L: { resolveDefault: async (work: Promise<unknown>, fallback: unknown) => work.catch(() => fallback) },
  };
  const names = [...Object.keys(globals), ...required];
  const values = [...Object.values(globals), ...required.map((name) => modules[name])];
  // LuCI adds this to strings.
  const prelude = `String.prototype.format ??= function (...words) { return this.replace(/%[sd]/g, () => words.shift()); };`;
  const make = vm.runInNewContext(
    `${prelude} (function (${names.join(', ')}) {${source}\n})`,
    {},
    { filename: file },
  );
  const view: { load: () => Promise<unknown>; render: (data: unknown) => Promise<Node> } = make(...values);
  walk(await view.render(await view.load()), shown);
  return shown;
}

function walk(node: unknown, shown: Shown): void {
  if (Array.isArray(node)) for (const child of node) walk(child, shown);
  else if (typeof node === 'string') shown.text += `${node}\n`;
  else if (node !== null && typeof node === 'object') {
    const { tag, attributes, children } = node as Node;
    if (tag === 'a') shown.links.push(attributes.href ?? '');
    walk(children, shown);
  }
}
