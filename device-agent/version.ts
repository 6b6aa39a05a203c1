/** What the agent calls itself to the fleet and the household. */
export const AGENT_VERSION = '0.1.0';
