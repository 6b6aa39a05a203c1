import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { needsTool } from '#test/support/tools.ts';
import { prepareVideo } from './video.ts';

describe('the video', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-video-'));
  after(() => rmSync(root, { recursive: true }));

  it(
    'is cut into HLS once, from a clean folder whatever a killed run left',
    needsTool('ffmpeg'),
    async () => {
      mkdirSync(join(root, 'hls.new-killed'));
      const video = await prepareVideo(root);
      assert.equal(video.withoutHls, null);
      assert.equal(statSync(join(root, 'bbb.mp4')).size, 22_718_509);
      const playlist = readFileSync(join(root, 'hls', 'index.m3u8'), 'utf8');
      const named = playlist.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      assert.ok(named.length >= 3, playlist);
      // Relative names: that is what the router's prefix tokens are for.
      assert.deepEqual(video.paths, [
        '/bbb.mp4',
        '/poster.jpg',
        '/hls/index.m3u8',
        ...named.map((name) => `/hls/${name}`),
      ]);
      assert.ok(!existsSync(join(root, 'hls.new-killed')));
      assert.deepEqual(readdirSync(root).sort(), ['bbb.mp4', 'hls', 'poster.jpg']);

      const cutAt = statSync(join(root, 'hls', 'index.m3u8')).mtimeMs;
      assert.deepEqual(await prepareVideo(root), video);
      assert.equal(statSync(join(root, 'hls', 'index.m3u8')).mtimeMs, cutAt);
    },
  );

  it('goes without HLS where there is no ffmpeg, and says so', async () => {
    const path = process.env.PATH;
    const directory = join(root, 'bare');
    process.env.PATH = join(root, 'nothing-here');
    try {
      const video = await prepareVideo(directory);
      assert.equal(video.withoutHls, 'ffmpeg is not installed');
      assert.deepEqual(video.paths, ['/bbb.mp4', '/poster.jpg']);
      assert.deepEqual(readdirSync(directory).sort(), ['bbb.mp4', 'poster.jpg']);
    } finally {
      process.env.PATH = path;
    }
  });
});
