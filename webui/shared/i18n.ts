import { signal } from '@preact/signals';

export const LANGUAGES = ['en', 'zh-Hans'] as const;
export type Language = (typeof LANGUAGES)[number];
export type Catalogue = Readonly<Record<string, string>>;

/** The names in `{braces}` of a text, so that a forgotten value is a type error. */
type Names<S extends string> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;
type Values<S extends string> = [Names<S>] extends [never]
  ? []
  : [values: { [K in Names<S>]: string | number }];
/** Looks a text up in the chosen language; reading it in a component makes the component follow the language. */
export type Translate<E extends Catalogue> = <K extends keyof E & string>(
  key: K,
  ...values: Values<E[K]>
) => string;

const STORAGE_KEY = 'hearth-language';

/** The language in use; write it through `setLanguage`. */
export const language = signal<Language>('en');

/**
 * Which of our languages fits best.
 * @param remembered what the person chose before, if anything
 * @param preferred BCP 47 tags, best first, as `navigator.languages`
 */
export function chooseLanguage(remembered: string | null, preferred: readonly string[]): Language {
  const known = LANGUAGES.find((candidate) => candidate === remembered);
  if (known) return known;
  for (const tag of preferred) {
    if (/^zh\b/i.test(tag)) return 'zh-Hans';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

/** Reads the remembered choice, else the browser's, and follows other tabs; call once at start. */
export function startLanguage(): void {
  let remembered: string | null = null;
  try {
    remembered = localStorage.getItem(STORAGE_KEY);
  } catch {
    // Storage may be forbidden: the browser's language then decides on every visit.
  }
  apply(chooseLanguage(remembered, navigator.languages));
  window.addEventListener('storage', ({ key, newValue }) => {
    if (key === STORAGE_KEY) apply(chooseLanguage(newValue, [language.value]));
  });
}

/** Takes a language that somebody else proposes, unless this browser remembers a choice of its own. */
export function proposeLanguage(next: Language): void {
  try {
    if (localStorage.getItem(STORAGE_KEY) === null) apply(next);
  } catch {
    apply(next);
  }
}

/** Changes the language and remembers it in this browser. */
export function setLanguage(next: Language): void {
  apply(next);
  try {
    localStorage.setItem(STORAGE_KEY, next);
  } catch {
    // As above: it holds for this visit.
  }
}

function apply(next: Language): void {
  language.value = next;
  document.documentElement.lang = next;
}

/**
 * Makes a typed lookup over two catalogues. A text with `|` has a singular and a plural form, picked by the
 * value of `{n}`; Chinese has one form.
 */
export function translator<const E extends Catalogue>(
  en: E,
  zh: { readonly [K in keyof E]: string },
): Translate<E> {
  return (key, ...values) => {
    const text = language.value === 'en' ? en[key] : zh[key];
    return fill(text ?? key, values[0] ?? {}, language.value);
  };
}

/** Puts values into a text; exported for the tests. */
export function fill(text: string, values: Record<string, string | number>, locale: Language): string {
  const forms = text.split('|');
  let form = forms[0] ?? '';
  if (forms.length > 1) {
    // Numbers arrive formatted ("1,024"): only their digits say which form is meant.
    const count = Number(String(values.n ?? '').replace(/[^\d.]/g, ''));
    form = new Intl.PluralRules(locale).select(count) === 'one' ? form : (forms[1] ?? form);
  }
  return form.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
