import type { KeyObject } from 'node:crypto';
import { sign, verify } from 'node:crypto';
import { HearthError } from './errors.ts';
import type { Command, DownMessage } from './messages.ts';
import { commandSchema, PROTOCOL_VERSION, parseJson } from './messages.ts';

/** Signs a command with the fleet's Ed25519 key. The signature covers the very bytes that are sent. */
export function signCommand(command: Command, privateKey: KeyObject): DownMessage<'command'> {
  const payload = JSON.stringify(commandSchema.parse(command));
  const signature = sign(null, Buffer.from(payload), privateKey).toString('base64url');
  return { v: PROTOCOL_VERSION, payload, signature };
}

/**
 * Checks a command and takes it out of its envelope.
 * @param nowMs the fleet's time as the box knows it, or null while it has no clock: expiry is then not checked
 * @throws HearthError `message_signature` (forged, or for another box), `message_expired`, `message_malformed`
 */
export function openCommand(
  envelope: DownMessage<'command'>,
  publicKey: KeyObject,
  boxId: string,
  nowMs: number | null,
): Command {
  if (!verify(null, Buffer.from(envelope.payload), publicKey, Buffer.from(envelope.signature, 'base64url'))) {
    throw new HearthError('message_signature', 'the command is not signed by this fleet');
  }
  const command = parseJson(commandSchema, envelope.payload);
  if (command.boxId !== boxId) {
    throw new HearthError('message_signature', `the command is for ${command.boxId}, not for ${boxId}`);
  }
  if (nowMs !== null && Date.parse(command.expiresAt) <= nowMs) {
    throw new HearthError('message_expired', `the command expired at ${command.expiresAt}`);
  }
  return command;
}
