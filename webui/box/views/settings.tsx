import { useMemo, useState } from 'preact/hooks';
import type { HouseholdSettings } from '#protocol/household.ts';
import { ApiError } from '../../shared/api.ts';
import { Button, Card, Fault, Loaded, Note, Segments, toast } from '../../shared/components/basics.tsx';
import { Field, Select } from '../../shared/components/form.tsx';
import { Head, LinkButton } from '../../shared/components/page.tsx';
import { LANGUAGES, type Language, language, setLanguage } from '../../shared/i18n.ts';
import { useAction } from '../../shared/query.ts';
import { href, navigate } from '../../shared/router.ts';
import { setTheme, THEMES, themeChoice } from '../../shared/theme.ts';
import { useStatus } from '../live.ts';
import { api, changeSettings, languageSetting, logOut, readSession, useSettings } from '../state.ts';
import { t } from '../text.ts';
import { About } from './about.tsx';
import { AwayCard } from './away.tsx';
import { NewPassword } from './door.tsx';

export function SettingsPage() {
  const settings = useSettings();
  const status = useStatus();
  return (
    <>
      <Head title={t('nav.settings')} />
      <div class="grid two">
        <Loaded query={settings} heights={[320]}>
          {(now) => (
            <div class="stack">
              <Look />
              <Clock settings={now} />
              <Line />
            </div>
          )}
        </Loaded>
        <Password />
      </div>
      <Loaded query={status} heights={[220]}>
        {(now) => <About status={now} />}
      </Loaded>
      <AwayCard />
      <Session />
    </>
  );
}

function Look() {
  const choose = useAction(async (next: Language) => {
    setLanguage(next);
    await changeSettings({ language: languageSetting(next) });
  });
  return (
    <Card title={t('settings.look')}>
      <Select
        label={t('language.label')}
        value={language.value}
        onChange={(next) => choose.run(next)}
        options={LANGUAGES.map((value) => ({ value, label: t(`language.${value}`) }))}
      />
      <div class="field">
        <span class="legend">{t('settings.theme')}</span>
        <Segments
          label={t('settings.theme')}
          value={themeChoice.value}
          onChange={setTheme}
          options={THEMES.map((value) => ({ value, label: t(`settings.theme.${value}`) }))}
        />
      </div>
      <Fault error={choose.error} />
    </Card>
  );
}

/** By whose clock schedules and months go. */
function Clock({ settings }: { settings: HouseholdSettings }) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = useMemo(() => {
    const known = Intl.supportedValuesOf('timeZone');
    return [...new Set([settings.timeZone, here, 'UTC', ...known])].filter(Boolean).sort();
  }, [settings.timeZone, here]);
  const save = useAction(async (timeZone: string) => {
    await changeSettings({ timeZone });
    toast(t('settings.saved'));
  });
  return (
    <Card title={t('settings.clock')}>
      <p class="soft">{t('settings.clockLead')}</p>
      <Select
        label={t('settings.timeZone')}
        value={settings.timeZone}
        onChange={(zone) => save.run(zone)}
        options={zones.map((value) => ({ value, label: value.replaceAll('_', ' ') }))}
      />
      {here && here !== settings.timeZone ? (
        <Note>
          <p>{t('settings.zoneHere', { zone: here.replaceAll('_', ' ') })}</p>
          <p>
            <Button compact busy={save.busy} onClick={() => save.run(here)}>
              {t('settings.useZone')}
            </Button>
          </p>
        </Note>
      ) : null}
      <Fault error={save.error} />
    </Card>
  );
}

function Line() {
  return (
    <Card title={t('settings.limits')}>
      <p class="soft">{t('settings.limitsLead')}</p>
      <div class="actions">
        <LinkButton href={href('network')}>{t('settings.toNetwork')}</LinkButton>
        <LinkButton href={href('storage')}>{t('settings.toStorage')}</LinkButton>
      </div>
    </Card>
  );
}

function Password() {
  const [current, setCurrent] = useState('');
  const [wrong, setWrong] = useState(false);
  const [round, setRound] = useState(0);
  const save = async (next: string) => {
    try {
      await api.send('POST', '/password', { current, next });
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'forbidden')) throw error;
      setWrong(true);
      return;
    }
    setCurrent('');
    // Empty fields again.
    setRound((n) => n + 1);
    toast(t('settings.passwordChanged'));
    await readSession();
  };
  return (
    <Card title={t('settings.password')}>
      <p class="soft">{t('settings.passwordLead')}</p>
      <NewPassword
        key={round}
        button={t('settings.changePassword')}
        save={save}
        before={
          <Field
            label={t('settings.currentPassword')}
            type="password"
            name="current-password"
            autocomplete="current-password"
            value={current}
            onInput={(value) => {
              setCurrent(value);
              setWrong(false);
            }}
            fault={wrong ? t('login.wrong') : null}
          />
        }
      />
    </Card>
  );
}

function Session() {
  const leave = useAction(logOut);
  const again = useAction(async () => {
    await changeSettings({ wizardDone: false });
    navigate(href('welcome', 'language'));
  });
  return (
    <Card title={t('settings.more')}>
      <div class="actions">
        <Button busy={again.busy} onClick={() => again.run()}>
          {t('settings.wizard')}
        </Button>
        <Button icon="logout" busy={leave.busy} onClick={() => leave.run()}>
          {t('common.logout')}
        </Button>
      </div>
      <Fault error={leave.error ?? again.error} />
    </Card>
  );
}
