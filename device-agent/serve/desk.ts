import type { ObjectBody, Reply, RequestHead } from './reply.ts';

/** Where requests are decided: in this process, or in another that is asked. */
export interface Desk {
  /**
   * What a request is answered.
   * @param decided called once, later, if null is returned; with null when nothing will be decided any more
   */
  ask(request: RequestHead, decided: (reply: Reply | null) => void): Reply | null;
  /** False when the object was taken out of service, or the token used up by others, since it was decided. */
  stillStands(body: ObjectBody): boolean;
  /** No delivery of this body was begun, and none will be. */
  forgo(body: ObjectBody): void;
  /** The Date header's value; null: without. */
  date(): string | null;
}

/** As `Desk.ask`, for those who can wait. */
export async function askDesk(desk: Desk, request: RequestHead): Promise<Reply | null> {
  return new Promise((resolve) => {
    const reply = desk.ask(request, resolve);
    if (reply) resolve(reply);
  });
}
