import { matches } from '../config/access-rules.ts';
import { isHyperError } from '../errors.ts';
import type { PodService } from '../pods/pod-service.ts';
import { type ContainerSpec, type PodSpec, parseContainerSpec, parsePodSpec } from '../pods/spec/index.ts';
import type { Call, Route } from './call.ts';

/** What a route is about, for a client that may use some pods only. What is not listed is not for it. */
type Scope =
  /** Tells nothing of pods. */
  | 'general'
  /** About the pods and containers that these parameters name: all that are given, and at least one. */
  | { readonly pods?: readonly string[]; readonly containers?: readonly string[] }
  /** Makes a pod of the specification in its body. */
  | 'new-pod'
  /** Adds a container of the specification in its body to a pod. */
  | 'new-container';

const POD = { pods: ['podId', 'podName'] };
const CONTAINER = { containers: ['container'] };

/** By path. Exported for its test. */
export const SCOPES: Readonly<Record<string, Scope>> = {
  '/_ping': 'general',
  '/version': 'general',
  '/info': 'general',
  '/openapi.json': 'general',
  '/images/get': 'general',
  '/images/json': 'general',
  '/image/info': 'general',
  '/image/history': 'general',
  '/pod/create': 'new-pod',
  '/pod/run': 'new-pod',
  '/run': 'new-pod',
  '/pod': POD,
  '/pod/remove': POD,
  '/pod/info': POD,
  '/pod/labels': POD,
  '/pod/stats': POD,
  '/pod/kill': { ...POD, ...CONTAINER },
  '/pod/pause': POD,
  '/pod/unpause': POD,
  '/pod/start': POD,
  '/pod/stop': POD,
  '/pod/wait': POD,
  '/pod/{id}/portmappings': { pods: ['id'] },
  '/pod/{id}/portmappings/{action}': { pods: ['id'] },
  '/list': { pods: ['pod'] },
  '/container/create': 'new-container',
  '/container/info': CONTAINER,
  '/container/logs': CONTAINER,
  '/container/start': CONTAINER,
  '/container/stop': CONTAINER,
  '/container/kill': CONTAINER,
  '/container/remove': CONTAINER,
  '/container/rename': { containers: ['oldName', 'oleName'] },
  '/container/archive': CONTAINER,
  '/container/top': CONTAINER,
  '/exitcode': { ...CONTAINER, pods: ['pod'] },
  '/exec/create': CONTAINER,
  '/exec/start': CONTAINER,
  '/attach': CONTAINER,
  '/execvm': { pods: ['pod', 'podId'] },
  '/tty/resize': CONTAINER,
};
/** Parameters that name things of others, or bring a specification past the check. */
const CLOSED_PARAMETERS = ['vmId', 'vm', 'podArgs', 'tag', 'type', 'value'];

type Lookup = Pick<PodService, 'pod' | 'container'>;
type Refuse = (why: string) => never;

/** Calls `refuse` unless the call is about pods whose ids match one of `patterns`, and asks nothing of the host for them. */
export function checkPodScope(
  patterns: readonly string[],
  pods: Lookup,
  route: Route,
  { parameters, json }: Pick<Call, 'parameters' | 'json'>,
  refuse: Refuse,
): void {
  const scope = SCOPES[route.path];
  if (scope === undefined) refuse('this is not about a pod');
  if (scope === undefined || scope === 'general') return;
  for (const name of CLOSED_PARAMETERS)
    if (parameters.given(name) !== '') refuse(`parameter "${name}" is not for it`);
  const isOurs = (name: string): boolean => patterns.some((pattern) => matches(pattern, name));
  const checkPod = (name: string): void => {
    // A pod that is not there is refused like one of others: what exists is not told.
    const id = found(() => pods.pod(name).id);
    if (id === undefined || !isOurs(id)) refuse(`pod "${name}" is none of them`);
  };
  if (scope === 'new-pod') {
    const spec = parsePodSpec(json);
    if (!isOurs(spec.id)) refuse(`give the pod an id that matches, not "${spec.id}"`);
    checkPodSpec(spec, isOurs, refuse);
    return;
  }
  if (scope === 'new-container') {
    checkPod(parameters.given('podId') || parameters.given('podID'));
    checkContainerSpec(parseContainerSpec(json), isOurs, refuse);
    return;
  }
  const podNames = (scope.pods ?? []).map((name) => parameters.given(name)).filter(Boolean);
  const containers = (scope.containers ?? []).map((name) => parameters.given(name)).filter(Boolean);
  if (podNames.length + containers.length === 0) refuse('name the pod or container');
  for (const name of podNames) checkPod(name);
  for (const name of containers) {
    const pod = found(() => pods.container(name).podId);
    if (pod === undefined || !isOurs(pod)) refuse(`container "${name}" is of none of them`);
  }
}

function found<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isHyperError(error)) return undefined;
    throw error;
  }
}

/** The host's files, bridges and web are not the client's; volumes and networks with names are, where the names match. */
function checkPodSpec(spec: PodSpec, isOurs: (name: string) => boolean, refuse: Refuse): void {
  for (const { name, source, format } of spec.volumes) checkVolume(name, { source, format }, isOurs, refuse);
  for (const { name, uri } of spec.files)
    if (uri !== '') refuse(`file "${name}" is fetched by the host; give its content`);
  if (!['', 'user'].includes(spec.network) && !isOurs(spec.network))
    refuse(`network "${spec.network}" does not match`);
  for (const { bridge } of spec.interfaces) if (bridge !== '') refuse(`bridge "${bridge}" is the host's`);
  for (const container of spec.containers) checkContainerSpec(container, isOurs, refuse);
}

function checkContainerSpec(spec: ContainerSpec, isOurs: (name: string) => boolean, refuse: Refuse): void {
  for (const { volume, detail } of spec.volumes) if (detail) checkVolume(volume, detail, isOurs, refuse);
  for (const { filename, detail } of spec.files)
    if (detail && detail.uri !== '') refuse(`file "${filename}" is fetched by the host; give its content`);
}

function checkVolume(
  name: string,
  { source, format }: Pick<PodSpec['volumes'][number], 'source' | 'format'>,
  isOurs: (name: string) => boolean,
  refuse: Refuse,
): void {
  if (format === '' || format === 'tmpfs') return;
  if (format === 'volume' && isOurs(source)) return;
  refuse(
    format === 'volume' ? `volume "${source}" does not match` : `volume "${name}" is of the host's files`,
  );
}
