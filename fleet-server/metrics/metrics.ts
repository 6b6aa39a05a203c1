import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/** This process's metrics, served at /metrics. */
export interface Metrics {
  registry: Registry;
  redirects: Counter<'target'>;
  refusedMessages: Counter<'reason'>;
  connectedBoxes: Gauge;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const redirects = new Counter({
    name: 'hearth_router_redirects_total',
    help: 'Requests answered by the router, by where the client was sent',
    labelNames: ['target'] as const,
    registers: [registry],
  });
  const refusedMessages = new Counter({
    name: 'hearth_broker_refused_messages_total',
    help: 'Messages from boxes that were refused, by error code',
    labelNames: ['reason'] as const,
    registers: [registry],
  });
  const connectedBoxes = new Gauge({
    name: 'hearth_broker_connected_boxes',
    help: 'Boxes connected to this broker',
    registers: [registry],
  });
  return {
    registry,
    redirects,
    refusedMessages,
    connectedBoxes,
  };
}
