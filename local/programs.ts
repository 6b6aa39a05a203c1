import { mkdirSync } from 'node:fs';
import { Program } from './program.ts';

export interface FleetPorts {
  api: number;
  router: number;
  broker: number;
}

export interface FleetOptions {
  name?: string;
  databaseUrl: string;
  /** Folder of the fleet's keys, made if missing. */
  keysDir: string;
  ports: FleetPorts;
  adminToken: string;
  adminPassword: string;
  heartbeatMs: number;
  logFile?: string;
  /** More of the fleet-server's variables. */
  env?: Record<string, string>;
}

/** Starts the fleet-server, all roles in one process, on 127.0.0.1. */
export function startFleet(options: FleetOptions): Promise<Program> {
  mkdirSync(options.keysDir, { recursive: true, mode: 0o700 });
  return Program.start({
    name: options.name ?? 'fleet-server',
    args: ['fleet-server/main.ts'],
    logFile: options.logFile,
    env: {
      DATABASE_URL: options.databaseUrl,
      HEARTH_BIND: '127.0.0.1',
      HEARTH_KEYS_DIR: options.keysDir,
      // Its boxes are on this machine.
      HEARTH_DIAL_PRIVATE: 'on',
      HEARTH_API_PORT: String(options.ports.api),
      HEARTH_ROUTER_PORT: String(options.ports.router),
      HEARTH_BROKER_PORT: String(options.ports.broker),
      // Whatever is free: boxes and clients are told.
      HEARTH_RELAY_TUNNEL_PORT: '0',
      HEARTH_RELAY_PORT: '0',
      HEARTH_RELAY_TLS_PORT: '0',
      HEARTH_HEARTBEAT_MS: String(options.heartbeatMs),
      HEARTH_ADMIN_TOKEN: options.adminToken,
      HEARTH_ADMIN_PASSWORD: options.adminPassword,
      ...options.env,
    },
  });
}

export interface AgentOptions {
  name: string;
  stateDir: string;
  /** Folder that stands for the USB disk, made if missing. */
  disk: string;
  lanPort: number;
  contentPort: number;
  fleetUrl: string;
  /** For a box that is not paired yet. */
  claimCode?: string;
  logFile?: string;
  env?: Record<string, string>;
  /** Another build of the agent, such as a bundle; the sources otherwise. */
  script?: string;
}

/** Starts one box's agent on 127.0.0.1. */
export function startAgent(options: AgentOptions): Promise<Program> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  mkdirSync(options.disk, { recursive: true });
  return Program.start({
    name: options.name,
    args: [options.script ?? 'device-agent/main.ts'],
    logFile: options.logFile,
    env: {
      HEARTH_STATE_DIR: options.stateDir,
      HEARTH_DISK: options.disk,
      HEARTH_DISK_ON_ROOT: 'yes',
      HEARTH_BIND: '127.0.0.1',
      HEARTH_LAN_PORT: String(options.lanPort),
      HEARTH_CONTENT_PORT: String(options.contentPort),
      HEARTH_FLEET_URL: options.fleetUrl,
      // No household's line is at stake here.
      HEARTH_UP_BYTES_PER_SECOND: '0',
      HEARTH_DOWN_BYTES_PER_SECOND: '0',
      HEARTH_MONTHLY_BYTES: '0',
      // This machine's router is not to be asked for anything.
      HEARTH_PORT_MAPPING: 'off',
      ...(options.claimCode === undefined ? {} : { HEARTH_CLAIM_CODE: options.claimCode }),
      ...options.env,
    },
  });
}
