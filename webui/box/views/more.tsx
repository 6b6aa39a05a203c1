import { Icon, type IconName } from '../../shared/components/icon.tsx';
import { Head } from '../../shared/components/page.tsx';
import { href } from '../../shared/router.ts';
import { t } from '../text.ts';

const LINKS = [
  { name: 'content', icon: 'files' },
  { name: 'activity', icon: 'pulse' },
  { name: 'settings', icon: 'gear' },
  { name: 'logs', icon: 'book' },
] as const satisfies { name: string; icon: IconName }[];

/** What has no place in a phone's bar. */
export function MorePage() {
  return (
    <>
      <Head title={t('nav.more')} />
      <ul class="card links">
        {LINKS.map(({ name, icon }) => (
          <li key={name}>
            <a href={href(name)}>
              <Icon name={icon} />
              <span>
                <span class="strong">{t(`nav.${name}`)}</span>
                <span class="soft small line">{t(`more.${name}`)}</span>
              </span>
              <Icon name="down" class="turned" />
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}
