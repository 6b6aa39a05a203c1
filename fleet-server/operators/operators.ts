import { createHash, randomBytes } from 'node:crypto';
import { and, desc, eq, gt, lt } from 'drizzle-orm';
import type { Database } from '#fleet/database/database.ts';
import { apiTokens, operatorSessions, operators } from '#fleet/database/schema.ts';
import { HearthError } from '#protocol/errors.ts';
import { hashPassword, verifyPassword } from './passwords.ts';

const SESSION_LIFE_MS = 12 * 3_600_000;

export interface Operator {
  id: string;
  username: string;
}

/** Random secrets are hashed once: 256 bits need no slow hash. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/**
 * Makes sure that there is an operator to log in as. With a password or a token given, they are made to hold.
 * @returns the generated password, where one had to be made
 */
export async function ensureAdmin(
  db: Database,
  given: { password?: string | undefined; token?: string | undefined },
): Promise<{ generatedPassword: string | null }> {
  const [existing] = await db.select().from(operators).where(eq(operators.username, 'admin'));
  let generatedPassword: string | null = null;
  let id = existing?.id;
  if (existing && given.password && !(await verifyPassword(given.password, existing.passwordHash))) {
    await db
      .update(operators)
      .set({ passwordHash: await hashPassword(given.password) })
      .where(eq(operators.id, existing.id));
    await db.delete(operatorSessions).where(eq(operatorSessions.operatorId, existing.id));
  }
  if (id === undefined) {
    const password = given.password ?? randomBytes(12).toString('base64url');
    const passwordHash = await hashPassword(password);
    const [made] = await db
      .insert(operators)
      .values({ username: 'admin', passwordHash })
      .onConflictDoNothing()
      .returning({ id: operators.id });
    if (made && !given.password) generatedPassword = password;
    id = made?.id ?? (await db.select().from(operators).where(eq(operators.username, 'admin')))[0]?.id;
  }
  if (given.token && id !== undefined) {
    await db
      .insert(apiTokens)
      .values({ operatorId: id, name: 'HEARTH_ADMIN_TOKEN', secretHash: hashSecret(given.token) })
      .onConflictDoNothing();
  }
  return { generatedPassword };
}

/**
 * Opens a session.
 * @throws HearthError `not_authenticated`, the same for a wrong name as for a wrong password
 */
export async function login(
  db: Database,
  username: string,
  password: string,
): Promise<{ operator: Operator; secret: string; expiresAt: Date }> {
  const [found] = await db.select().from(operators).where(eq(operators.username, username));
  if (!(await verifyPassword(password, found?.passwordHash)) || !found) {
    throw new HearthError('not_authenticated', 'The user name or the password is wrong.');
  }
  const secret = randomBytes(32).toString('base64url');
  const expiresAt = new Date(Date.now() + SESSION_LIFE_MS);
  await db.delete(operatorSessions).where(lt(operatorSessions.expiresAt, new Date()));
  await db
    .insert(operatorSessions)
    .values({ secretHash: hashSecret(secret), operatorId: found.id, expiresAt });
  return { operator: { id: found.id, username: found.username }, secret, expiresAt };
}

export async function logout(db: Database, secret: string): Promise<void> {
  await db.delete(operatorSessions).where(eq(operatorSessions.secretHash, hashSecret(secret)));
}

/** The operator a session cookie belongs to, or null. */
export async function operatorOfSession(db: Database, secret: string): Promise<Operator | null> {
  const [found] = await db
    .select({ id: operators.id, username: operators.username })
    .from(operatorSessions)
    .innerJoin(operators, eq(operators.id, operatorSessions.operatorId))
    .where(
      and(eq(operatorSessions.secretHash, hashSecret(secret)), gt(operatorSessions.expiresAt, new Date())),
    );
  return found ?? null;
}

/** The operator an API token belongs to, or null. */
export async function operatorOfToken(db: Database, secret: string): Promise<Operator | null> {
  const [found] = await db
    .select({
      id: operators.id,
      username: operators.username,
      tokenId: apiTokens.id,
      lastUsedAt: apiTokens.lastUsedAt,
    })
    .from(apiTokens)
    .innerJoin(operators, eq(operators.id, apiTokens.operatorId))
    .where(eq(apiTokens.secretHash, hashSecret(secret)));
  if (!found) return null;
  // Once a minute is enough to tell a used token from a forgotten one.
  if (!found.lastUsedAt || Date.now() - found.lastUsedAt.getTime() > 60_000) {
    await db.update(apiTokens).set({ lastUsedAt: new Date() }).where(eq(apiTokens.id, found.tokenId));
  }
  return { id: found.id, username: found.username };
}

const MAX_TOKENS = 100;

/**
 * Makes an API token; its secret is returned this once.
 * @throws HearthError `conflict` when the operator has too many
 */
export async function createToken(db: Database, operator: Operator, name: string) {
  const held = await db.$count(apiTokens, eq(apiTokens.operatorId, operator.id));
  if (held >= MAX_TOKENS) {
    throw new HearthError(
      'conflict',
      `You have ${held} API tokens, the most there can be. Delete one first.`,
    );
  }
  const secret = `hearth_${randomBytes(32).toString('base64url')}`;
  const [row] = await db
    .insert(apiTokens)
    .values({ operatorId: operator.id, name, secretHash: hashSecret(secret) })
    .returning();
  if (!row) throw new Error('a row just written is missing');
  return { row, secret };
}

export function listTokens(db: Database, operator: Operator) {
  return db
    .select()
    .from(apiTokens)
    .where(eq(apiTokens.operatorId, operator.id))
    .orderBy(desc(apiTokens.createdAt));
}

export async function deleteToken(db: Database, operator: Operator, id: string): Promise<boolean> {
  const gone = await db
    .delete(apiTokens)
    .where(and(eq(apiTokens.id, id), eq(apiTokens.operatorId, operator.id)))
    .returning({ id: apiTokens.id });
  return gone.length > 0;
}
