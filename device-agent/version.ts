/** What the agent calls itself to the fleet and the household. */
export const AGENT_VERSION = typeof HEARTH_VERSION === 'string' ? HEARTH_VERSION : '0.1.0';

/** Put in by the build when it is told another. */
declare const HEARTH_VERSION: unknown;
