import type { AccessRules, Permission } from '../config/access-rules.ts';
import { HyperError } from '../errors.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { Call, Route } from './call.ts';
import { checkPodScope } from './pod-scope.ts';

/** Who calls: the common name of a checked client certificate, or the URL of the listener that anybody who reaches it may use. */
export interface ClientIdentity {
  readonly kind: 'certificate' | 'listener';
  readonly name: string;
}

/** Decides what clients may do. */
export class Access {
  readonly #rules: AccessRules;
  readonly #pods: Pick<PodService, 'pod' | 'container'>;

  constructor(rules: AccessRules, pods: Pick<PodService, 'pod' | 'container'>) {
    this.#rules = rules;
    this.#pods = pods;
  }

  /** Throws `forbidden`, saying what the client may do. */
  check(client: ClientIdentity, route: Route, call: Pick<Call, 'parameters' | 'json'>): void {
    const permission = this.#permissionOf(client);
    if (permission.kind === 'all') return;
    if (permission.kind === 'read' && route.method === 'GET') return;
    const refuse = (why: string): never => {
      throw new HyperError('forbidden', `${route.method} ${route.path}: client "${client.name}" ${why}`);
    };
    if (permission.kind === 'pods')
      checkPodScope(permission.patterns, this.#pods, route, call, (why) =>
        refuse(`may use pods ${permission.patterns.join(', ')} only: ${why}`),
      );
    else refuse(permission.kind === 'read' ? 'may read only' : 'has no permission');
  }

  /** A listener without a rule is guarded by who can reach it; of certificates all are equal until there are rules. */
  #permissionOf({ kind, name }: ClientIdentity): Permission {
    const own = /^(unix|tcp|tls):/.test(name) === (kind === 'listener') ? this.#rules.get(name) : undefined;
    if (own) return own;
    if (kind === 'listener') return { kind: 'all' };
    return this.#rules.get('*') ?? { kind: this.#rules.size === 0 ? 'all' : 'none' };
  }
}
