import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { hashOf, readPo, writeLmo } from './lmo.ts';
import { LUCI_APP, luciPayload } from './luci-payload.ts';
import { showView } from './luci-shim.ts';

const VIEW = path.join(LUCI_APP, 'htdocs/luci-static/resources/view/hearth/overview.js');
const read = (name: string) => readFileSync(path.join(LUCI_APP, name), 'utf8');
const ACL = JSON.parse(read('root/usr/share/rpcd/acl.d/luci-app-hearth.json'))['luci-app-hearth'];
/** Of the strings below, printed by LuCI's sfh_hash. */
const LUCI_HASHES = [291415938, 1366002500, 3535673738, 547550873, 4127884051];
const RUNNING = { hearth: { instances: { main: { running: true, pid: 1234 } } } };

/** Types of the options in the init script, by name. */
function declared(): Map<string, string> {
  const init = readFileSync(path.join(import.meta.dirname, 'files/etc/init.d/hearth'), 'utf8');
  const tuples = init.matchAll(/^\t\t'(\w+):((?:[^':(]|\([^)]*\))+)(?::[^']*)?'/gm);
  return new Map([...tuples].map(([, name = '', type = '']) => [name, type]));
}

describe('LuCI view', () => {
  it('says whether the agent runs, and leads to its dashboard', async () => {
    const running = await showView(VIEW, { uci: { lan_port: '8070' }, services: RUNNING });
    assert.match(running.text, /Running \(process 1234\)/);
    assert.deepEqual(running.links, ['http://192.168.1.1:8070/']);
    const stopped = await showView(VIEW, { uci: {}, services: {} });
    assert.match(stopped.text, /Not running\n/);
    assert.deepEqual(stopped.links, ['http://192.168.1.1:7070/']);
    assert.deepEqual(stopped.section, { name: 'main', type: 'hearth' });
  });

  it('has every option of the service, with the type the service checks', async () => {
    const { options } = await showView(VIEW, { uci: {}, services: RUNNING });
    const types = declared();
    assert.deepEqual(options.map(({ name }) => name).sort(), [...types.keys()].sort());
    for (const { name, kind, datatype, values } of options) {
      const type = types.get(name) ?? '';
      if (type === 'bool') assert.equal(kind, 'Flag', name);
      else if (/^or\("[^()]*"\)$/.test(type)) {
        assert.deepEqual(values, ['', ...JSON.parse(`[${type.slice(3, -1)}]`)], name);
      } else if (type === 'range(1,65535)') assert.equal(datatype, 'port', name);
      else if (type !== 'string') assert.equal(datatype, type, name);
    }
  });

  it('asks for no more than its ACL allows, and the ACL for no more than it asks', async () => {
    const { calls, loaded } = await showView(VIEW, { uci: {}, services: RUNNING });
    const called: Record<string, string[]> = {};
    for (const { object, method } of calls)
      called[object] = [...new Set([...(called[object] ?? []), method])];
    assert.deepEqual(ACL.read.ubus, called);
    assert.deepEqual(ACL.read.uci, loaded);
    assert.deepEqual(ACL.write, { uci: loaded });
    assert.deepEqual(Object.keys(ACL).sort(), ['description', 'read', 'write']);
  });

  it('is what the menu opens', () => {
    const menu = JSON.parse(read('root/usr/share/luci/menu.d/luci-app-hearth.json'));
    const [entry] = Object.values(menu) as { action: { path: string }; depends: { acl: string[] } }[];
    const file = `/www/luci-static/resources/view/${entry?.action.path}.js`;
    assert.ok(luciPayload().some((one) => one.path === file));
    assert.deepEqual(entry?.depends.acl, ['luci-app-hearth']);
  });
});

describe('translations', () => {
  const wanted = async () => {
    const shown = [
      await showView(VIEW, { uci: {}, services: RUNNING }),
      await showView(VIEW, { uci: {}, services: {} }),
    ];
    return new Set([...shown.flatMap(({ translated }) => translated), ACL.description]);
  };

  it('are complete, and none is left over', async () => {
    const strings = [...(await wanted())].sort();
    for (const file of ['po/templates/hearth.pot', 'po/zh_Hans/hearth.po']) {
      assert.deepEqual(
        readPo(read(file))
          .map(({ id }) => id)
          .sort(),
        strings,
        file,
      );
    }
    const missing = readPo(read('po/zh_Hans/hearth.po')).filter(
      ({ id, text }) => text === '' || (text === id && id !== 'Hearth'),
    );
    assert.deepEqual(missing, []);
  });

  it('are found in the catalogue as LuCI looks for them', async () => {
    const messages = readPo(read('po/zh_Hans/hearth.po'));
    const lmo = writeLmo(messages);
    const at = lmo.readUInt32BE(lmo.length - 4);
    const index = lmo.subarray(at, -4);
    const found = new Map<number, string>();
    let last = -1;
    for (let entry = 0; entry < index.length; entry += 16) {
      const [key, forms, offset, length] = [0, 4, 8, 12].map((column) => index.readUInt32BE(entry + column));
      assert.ok(Number(key) > last && forms === 1, 'sorted, for a search by halves');
      last = Number(key);
      found.set(last, lmo.toString('utf8', offset, Number(offset) + Number(length)));
    }
    for (const { id, text } of messages) {
      if (id !== text) assert.equal(found.get(hashOf(Buffer.from(id))), text);
    }
    assert.equal(found.size, messages.filter(({ id, text }) => id !== text).length);
    // Values of LuCI's own hash.
    assert.deepEqual(
      ['a', 'ab', 'abc', 'Running', '状态'].map((text) => hashOf(Buffer.from(text))),
      LUCI_HASHES,
    );
  });

  it('reach the page', async () => {
    const messages = new Map(readPo(read('po/zh_Hans/hearth.po')).map(({ id, text }) => [id, text]));
    const shown = await showView(VIEW, {
      uci: {},
      services: RUNNING,
      translate: (text) => messages.get(text) ?? text,
    });
    assert.match(shown.text, /运行中（进程 1234）/);
  });
});
