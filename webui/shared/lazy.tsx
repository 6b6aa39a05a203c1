import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { ApiError, reachable } from './api.ts';
import { Fault, Skeleton } from './components/basics.tsx';

/**
 * A component whose code is fetched when it is first shown. A placeholder stands in until then; code that cannot be
 * had says so and can be asked for again.
 */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>, heights = [180, 260]) {
  const loaded = signal<ComponentType<P> | null>(null);
  const error = signal<unknown>(undefined);
  const ask = () => {
    error.value = undefined;
    load().then(
      (component) => {
        loaded.value = component;
      },
      async (cause) => {
        if (await isOutdated()) location.reload();
        else error.value = new ApiError('unreachable', 0, String(cause), { cause });
      },
    );
  };
  return function Lazy(props: P) {
    const Component = loaded.value;
    const failed = error.value !== undefined;
    const back = reachable.value;
    useEffect(() => {
      // Also when the box answers again after it could not be reached.
      if (loaded.value === null && back) ask();
    }, [back]);
    if (Component) return <Component {...props} />;
    return failed ? <Fault error={error.value} retry={ask} /> : <Skeleton heights={heights} />;
  };
}

/**
 * Whether the server has another version of this page by now: then the parts of this one are gone, and a reload brings
 * the new one. False when it cannot be asked.
 */
async function isOutdated(): Promise<boolean> {
  const mine = document.querySelector<HTMLScriptElement>('script[type="module"]')?.getAttribute('src');
  if (!mine) return false;
  try {
    const page = await fetch('./', { cache: 'no-store' });
    return page.ok && !(await page.text()).includes(mine);
  } catch {
    return false;
  }
}
