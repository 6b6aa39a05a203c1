/** What the agent calls itself to the fleet and the household. */
export const AGENT_VERSION = typeof HEARTH_VERSION === 'string' ? HEARTH_VERSION : '0.1.0';

/** What it was built for, where the build is for one processor; it may have been put on another's box. */
export const BUILT_FOR = typeof HEARTH_ARCHITECTURE === 'string' ? HEARTH_ARCHITECTURE : null;

/** Put in by the build when it is told. */
declare const HEARTH_VERSION: unknown;
declare const HEARTH_ARCHITECTURE: unknown;
