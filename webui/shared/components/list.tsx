import type { ComponentChildren } from 'preact';
import { sharedText as t } from '../text.ts';
import { Button, Card, Empty, Loaded } from './basics.tsx';

interface ListCardProps<T> {
  query: {
    data: { items: T[]; next?: string | null } | undefined;
    error: unknown;
    refresh: () => void;
  };
  /** Shows `more` more; left out where a list is never paged. */
  onMore?: () => void;
  empty: { title: string; text: string } | string;
  title?: string;
  aside?: ComponentChildren;
  /** What stands above the rows whether there are any or not. */
  above?: ComponentChildren;
  height?: number;
  children: (items: T[]) => ComponentChildren;
}

/** A list in a card: its placeholder, what it says when empty, its rows, and the way to more of them. */
export function ListCard<T>(props: ListCardProps<T>) {
  const { empty } = props;
  return (
    <Loaded query={props.query} heights={[props.height ?? 300]}>
      {({ items, next }) => (
        <Card title={props.title} aside={props.aside}>
          {props.above}
          {items.length > 0 ? (
            props.children(items)
          ) : typeof empty === 'string' ? (
            <p class="soft">{empty}</p>
          ) : (
            <Empty title={empty.title} text={empty.text} />
          )}
          {next && props.onMore ? (
            <div class="actions">
              <Button onClick={props.onMore}>{t('common.more')}</Button>
            </div>
          ) : null}
        </Card>
      )}
    </Loaded>
  );
}
