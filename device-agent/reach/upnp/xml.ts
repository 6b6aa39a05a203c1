/** An element with its name in lower case and without its prefix; attributes are of no use to us. */
export interface XmlElement {
  name: string;
  text: string;
  children: XmlElement[];
}

const MOST_ELEMENTS = 4_000;
const MOST_DEPTH = 40;
const MOST_TEXT_CHARS = 2_000;

/**
 * Reads XML as routers write it: often not quite well-formed. Entities that a document defines itself are not
 * expanded.
 * @returns null when there is no element, or more than any device has
 */
export async function readXml(text: string): Promise<XmlElement | null> {
  const { parser: makeParser } = (await import('sax')).default;
  const parser = makeParser(false, { lowercase: true, position: false });
  const root: XmlElement = { name: '', text: '', children: [] };
  const open = [root];
  let count = 0;
  let tooMuch = false;
  parser.onopentag = ({ name }) => {
    if (++count > MOST_ELEMENTS || open.length > MOST_DEPTH) tooMuch = true;
    if (tooMuch) return;
    const element: XmlElement = { name: name.slice(name.indexOf(':') + 1), text: '', children: [] };
    open.at(-1)?.children.push(element);
    open.push(element);
  };
  parser.onclosetag = () => {
    if (!tooMuch && open.length > 1) open.pop();
  };
  const take = (piece: string) => {
    const element = open.at(-1);
    if (element && element.text.length < MOST_TEXT_CHARS) element.text += piece;
  };
  parser.ontext = take;
  parser.oncdata = take;
  parser.onerror = () => {
    // What is broken is skipped; what was read before it may be enough.
    (parser as { error: Error | null }).error = null;
    parser.resume();
  };
  try {
    parser.write(text).close();
  } catch {
    return null;
  }
  return tooMuch ? null : (root.children[0] ?? null);
}

/** Every element of that name below `element`, itself included, in document order. */
export function* findAll(element: XmlElement, name: string): Generator<XmlElement> {
  if (element.name === name) yield element;
  for (const child of element.children) yield* findAll(child, name);
}

/** The text of the first element of that name, trimmed; null when there is none. */
export function textOf(element: XmlElement, name: string): string | null {
  const found = findAll(element, name).next().value;
  return found ? found.text.trim() : null;
}
