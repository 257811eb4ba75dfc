import type { ApiGuardSettings } from '../config/api-guard.ts';
import type { Logger } from '../logger.ts';
import { Access } from './access.ts';
import { AuditLog } from './audit-log.ts';
import { ClientTags } from './client-tags.ts';
import { MachineExecs } from './machine-execs.ts';
import type { RouteContext } from './routes/context.ts';
import { allRoutes } from './routes/index.ts';
import { ApiServer } from './server.ts';
import { tlsSettings } from './tls.ts';

export interface ApiOptions extends Omit<RouteContext, 'clientTags' | 'machineExecs'> {
  readonly logger: Logger;
  readonly guard?: ApiGuardSettings;
  readonly closeGraceMs?: number;
}

/** The REST API of the daemon. `listen` once; `close` ends it and leaves the services alone. Throws where its files cannot be had. */
export function createApi(options: ApiOptions): ApiServer {
  const routes = Object.values(
    allRoutes({ ...options, machineExecs: new MachineExecs(), clientTags: new ClientTags() }),
  ).flat();
  const { guard } = options;
  return new ApiServer({
    routes,
    access: guard && new Access(guard.rules, options.pods),
    audit: guard?.auditLog === undefined ? undefined : new AuditLog(guard.auditLog),
    tls: guard?.tlsDirectory === undefined ? undefined : tlsSettings(guard.tlsDirectory),
    socketGuard: guard?.socket,
    logger: options.logger,
    product: `hyperd/${options.about.version} (linux)`,
    ...(options.closeGraceMs === undefined ? {} : { closeGraceMs: options.closeGraceMs }),
  });
}

export type { About } from './routes/context.ts';
export type { ApiServer } from './server.ts';
