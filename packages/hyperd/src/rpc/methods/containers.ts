import { containerInfo, containerPhase } from '../../api/shapes/container-info.ts';
import { stdcopyFrame } from '../../api/stdcopy.ts';
import { unixTimeNs } from '../../api/unix-time.ts';
import { HyperError } from '../../errors.ts';
import type { LogOptions } from '../../pods/pod-service.ts';
import { checkContainerName, parseContainerSpec } from '../../pods/spec/index.ts';
import { signalNumber } from '../../signals.ts';
import { required } from '../call.ts';
import type { Methods, RpcContext } from '../context.ts';
import { ContainerInfoSchema, type ContainerLogsRequest } from '../gen/types_pb.js';
import { containerJson, messageOf } from '../messages.ts';
import { selectPods } from './pods.ts';

/** The longest that a timer takes, in ms: 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** Containers. */
export function containerMethods({
  pods,
}: RpcContext): Methods<
  | 'containerList'
  | 'containerInfo'
  | 'containerCreate'
  | 'containerStart'
  | 'containerStop'
  | 'containerSignal'
  | 'containerRename'
  | 'containerRemove'
  | 'containerLogs'
> {
  return {
    containerList: (filter) => ({
      containerList: selectPods(pods.list(), filter).flatMap(({ id, containers }) =>
        containers.map((container) => ({
          ...{ containerID: container.id, containerName: container.name },
          ...{ podID: id, status: containerPhase(container) },
        })),
      ),
    }),
    containerInfo({ container }) {
      const view = pods.container(required('container', container));
      return { containerInfo: messageOf(ContainerInfoSchema, containerInfo(view)) };
    },
    async containerCreate({ podID, containerSpec }) {
      if (!containerSpec) throw new HyperError('invalid-spec', 'create container: no specification');
      const spec = parseContainerSpec(containerJson(containerSpec));
      return { containerID: await pods.addContainer(podID, spec) };
    },
    async containerStart({ containerId }) {
      await pods.startContainer(required('container_id', containerId));
      return {};
    },
    async containerStop({ containerID, timeout }) {
      const graceMs = timeout < 0 ? LONGEST_MS : Math.min(Number(timeout) * 1000, LONGEST_MS);
      await pods.stopContainer(required('containerID', containerID), { graceMs });
      return {};
    },
    async containerSignal({ podID, containerID, signal: number }) {
      const container = required('containerID', containerID);
      const signal = signalNumber(String(number));
      if (podID === '') await pods.killContainer(container, signal);
      else await pods.kill(podID, { container, signal });
      return {};
    },
    containerRename({ oldContainerName, newContainerName }) {
      const name = newContainerName.replace(/^\//, '');
      checkContainerName(name, 'newContainerName');
      pods.renameContainer(required('oldContainerName', oldContainerName), name);
      return {};
    },
    async containerRemove({ containerId }) {
      await pods.removeContainer(required('container_id', containerId));
      return {};
    },
    async containerLogs(request, send, { signal }) {
      const { id, tty } = pods.container(required('container', request.container));
      for await (const line of pods.logs(id, logOptions(request, signal))) {
        const stamp = Buffer.from(request.timestamps ? `${line.time} ` : '');
        const log = Buffer.concat([stamp, line.bytes]);
        await send({ log: tty ? log : stdcopyFrame(line.stream, log) });
      }
    },
  };
}

function logOptions(request: ContainerLogsRequest, signal: AbortSignal): LogOptions {
  const { stdout, stderr, follow, tail, since } = request;
  if (!stdout && !stderr) {
    throw new HyperError('invalid-argument', 'read logs: choose stdout, stderr or both');
  }
  return {
    ...{ stdout, stderr, follow, signal },
    ...(since === '' || since === '0' ? {} : { since: new Date(unixTimeNs('since', since) / 1e6) }),
    ...(/^\d+$/.test(tail) ? { tail: Number(tail) } : {}),
  };
}
