import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { HouseholdSettings } from '#protocol/household.ts';
import { Button, Fault, Loaded, Note, Skeleton, ThemeSwitch } from '../../../shared/components/basics.tsx';
import { Choices } from '../../../shared/components/form.tsx';
import { Mark } from '../../../shared/components/icon.tsx';
import { LANGUAGES, language, setLanguage } from '../../../shared/i18n.ts';
import { useAction } from '../../../shared/query.ts';
import { href, navigate, route } from '../../../shared/router.ts';
import { useStatus } from '../../live.ts';
import { changeSettings, languageSetting, session, setUp } from '../../state.ts';
import { t } from '../../text.ts';
import { STEPS, type Step, stepAfter, stepBefore, stepOf } from '../../wizard.ts';
import { CapsForm } from '../caps-form.tsx';
import { DiskPicker } from '../disk-picker.tsx';
import { NewPassword } from '../door.tsx';
import { PairForm } from '../pair.tsx';

const go = (step: Step) => navigate(href('welcome', step));

/** The first run before there is a password: nothing of the box can be asked yet. */
export function WizardOutside() {
  const [first, named] = route.value.segments;
  const step = stepOf(first === 'welcome' ? named : undefined, { setupNeeded: true, diskChosen: false });
  return <Frame step={step}>{step === 'password' ? <PasswordStep /> : <LanguageStep />}</Frame>;
}

/** The rest of it, for who is logged in. */
export function Wizard({ settings }: { settings: HouseholdSettings }) {
  const status = useStatus();
  const [first, named] = route.value.segments;
  const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  useEffect(() => {
    // The household's clock is the one it looks at: that of the browser in front of it.
    const change = {
      ...(settings.language === null ? { language: languageSetting(language.value) } : {}),
      ...(settings.timeZone === 'UTC' && timeZone && timeZone !== 'UTC' ? { timeZone } : {}),
    };
    if (Object.keys(change).length > 0) changeSettings(change).catch(() => {});
  }, []);
  return (
    <Loaded query={status} heights={[60, 400]}>
      {(now) => {
        const diskChosen = now.disk.state !== 'absent';
        const step = stepOf(first === 'welcome' ? named : undefined, { setupNeeded: false, diskChosen });
        return (
          <Frame step={step} words={step === 'pair' && isPaired(now.link.state) ? 'paired' : step}>
            {step === 'language' ? <LanguageStep /> : null}
            {step === 'password' ? <PasswordStep /> : null}
            {step === 'disk' ? <DiskStep /> : null}
            {step === 'line' ? <LineStep settings={settings} /> : null}
            {step === 'pair' ? <PairStep linkState={now.link.state} /> : null}
          </Frame>
        );
      }}
    </Loaded>
  );
}

/** Mark, how far one is, one card. */
function Frame(props: { step: Step; words?: Step | 'paired'; children: ComponentChildren }) {
  const { step, words = step, children } = props;
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  // Before anybody can see it and begin to type: late, it would take the focus out of a field.
  useLayoutEffect(() => {
    // A step that takes the place of another is told by its heading; the page as it opens is not.
    if (!first.current) heading.current?.focus();
    first.current = false;
  }, [words]);
  const at = STEPS.indexOf(step);
  document.title = `${t(`wizard.${words}.title`)} · ${t('app.title')}`;
  return (
    <main class="wizard">
      <div class="wizard-top">
        <div class="brand">
          <Mark />
          {t('app.name')}
        </div>
        <ThemeSwitch />
      </div>
      <ol class="steps" aria-label={t('wizard.steps')}>
        {STEPS.map((each, index) => (
          <li
            key={each}
            class={index < at ? 'done' : index === at ? 'now' : ''}
            aria-current={index === at ? 'step' : undefined}
          >
            <span>{t(`wizard.${each}.short`)}</span>
          </li>
        ))}
      </ol>
      <div class="card">
        <div class="door-lead">
          <p class="soft small">{t('wizard.at', { n: at + 1, of: STEPS.length })}</p>
          <h1 ref={heading} tabIndex={-1}>
            {t(`wizard.${words}.title`)}
          </h1>
          <p class="soft">{t(`wizard.${words}.lead`)}</p>
        </div>
        {children}
      </div>
    </main>
  );
}

function Back({ step }: { step: Step }) {
  const before = stepBefore(step);
  return before ? (
    <Button icon="back" onClick={() => go(before)}>
      {t('wizard.back')}
    </Button>
  ) : null;
}

/** For steps that can wait. */
function Later({ step }: { step: Step }) {
  const after = stepAfter(step);
  return after ? (
    <Button kind="plain" onClick={() => go(after)}>
      {t('wizard.later')}
    </Button>
  ) : null;
}

function LanguageStep() {
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (!session.value?.setupNeeded) {
          changeSettings({ language: languageSetting(language.value) }).catch(() => {});
        }
        go('password');
      }}
    >
      <Choices
        legend={t('language.label')}
        quiet
        value={language.value}
        onChange={setLanguage}
        options={LANGUAGES.map((each) => ({
          value: each,
          label: <span lang={each}>{t(`language.${each}`)}</span>,
        }))}
      />
      <div class="actions">
        <Button type="submit" kind="primary">
          {t('wizard.next')}
        </Button>
      </div>
    </form>
  );
}

function PasswordStep() {
  if (session.value?.setupNeeded) {
    return (
      <NewPassword
        button={t('setup.button')}
        beside={<Back step="password" />}
        save={async (password) => {
          await setUp(password);
          go('disk');
        }}
      />
    );
  }
  return (
    <>
      <Note tone="good">
        <p>{t('wizard.password.set')}</p>
      </Note>
      <div class="actions">
        <Back step="password" />
        <Button kind="primary" onClick={() => go('disk')}>
          {t('wizard.next')}
        </Button>
      </div>
    </>
  );
}

function DiskStep() {
  return (
    <DiskPicker
      button={t('wizard.disk.button')}
      onDone={() => go('line')}
      back={<Back step="disk" />}
      later={<Later step="disk" />}
    />
  );
}

function LineStep({ settings }: { settings: HouseholdSettings }) {
  return (
    <CapsForm
      settings={settings}
      button={t('wizard.next')}
      onSaved={() => go('pair')}
      beside={<Back step="line" />}
    />
  );
}

const isPaired = (linkState: string) => linkState !== 'unpaired' && linkState !== 'pairing';

function PairStep({ linkState }: { linkState: string }) {
  const finish = useAction(async () => {
    await changeSettings({ wizardDone: true });
    navigate(href());
  });
  if (isPaired(linkState)) {
    return (
      <>
        <Note tone="good">
          <p>{t('wizard.pair.done')}</p>
        </Note>
        <Fault error={finish.error} />
        <div class="actions">
          <Back step="pair" />
          <Button kind="primary" busy={finish.busy} onClick={() => finish.run()}>
            {t('wizard.finish')}
          </Button>
        </div>
      </>
    );
  }
  return (
    <>
      <PairForm
        beside={
          <>
            <Back step="pair" />
            <Button kind="plain" busy={finish.busy} onClick={() => finish.run()}>
              {t('wizard.later')}
            </Button>
          </>
        }
      />
      <Fault error={finish.error} />
    </>
  );
}

/** While it is not known yet whether the first run is over. */
export function WizardWaits() {
  return (
    <main class="wizard">
      <Skeleton heights={[60, 400]} />
    </main>
  );
}
