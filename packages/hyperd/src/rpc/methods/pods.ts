import { seconds } from '../../api/shapes/container-info.ts';
import { listedStatus } from '../../api/shapes/list.ts';
import { podInfo } from '../../api/shapes/pod-info.ts';
import { podStats } from '../../api/shapes/pod-stats.ts';
import { HyperError } from '../../errors.ts';
import type { PodView } from '../../pods/pod-service.ts';
import { parsePodSpec } from '../../pods/spec/index.ts';
import { signalNumber } from '../../signals.ts';
import { required } from '../call.ts';
import type { Methods, RpcContext } from '../context.ts';
import { PodInfoSchema } from '../gen/types_pb.js';
import { messageOf, podJson } from '../messages.ts';
import { podStatsMessage } from '../pod-stats.ts';

const DONE = { code: 0, cause: '' };

/** Pods. */
export function podMethods({
  pods,
}: RpcContext): Methods<
  | 'podList'
  | 'podInfo'
  | 'podStats'
  | 'podCreate'
  | 'podStart'
  | 'podStop'
  | 'podSignal'
  | 'podPause'
  | 'podUnpause'
  | 'podRemove'
  | 'setPodLabels'
> {
  return {
    podList: (filter) => ({ podList: selectPods(pods.list(), filter).map(listedPod) }),
    podInfo: ({ podID }) => ({ podInfo: messageOf(PodInfoSchema, podInfo(pods.pod(podID))) }),
    async podStats({ podID }) {
      return { podStats: podStatsMessage(podStats(await pods.stats(podID), new Date())) };
    },
    async podCreate({ podSpec, podID }) {
      if (!podSpec) throw new HyperError('invalid-spec', 'create pod: no specification');
      return { podID: await pods.create(parsePodSpec(podJson(podSpec, podID))) };
    },
    async podStart({ podID }) {
      await pods.start(podID);
      return {};
    },
    async podStop({ podID }) {
      await pods.stop(podID);
      return DONE;
    },
    async podSignal({ podID, signal }) {
      await pods.kill(podID, { signal: signalNumber(String(signal)) });
      return {};
    },
    async podPause({ podID }) {
      await pods.pause(podID);
      return {};
    },
    async podUnpause({ podID }) {
      await pods.unpause(podID);
      return {};
    },
    async podRemove({ podID }) {
      await pods.remove(required('podID', podID));
      return DONE;
    },
    setPodLabels({ podID, labels, override }) {
      pods.setLabels(podID, labels, override);
      return {};
    },
  };
}

/** The pods of this id or in this machine; empty: all. */
export function selectPods(
  pods: readonly PodView[],
  { podID, vmID }: { readonly podID: string; readonly vmID: string },
): PodView[] {
  return pods.filter(
    ({ id, machineId }) => (podID === '' || id === podID) && (vmID === '' || machineId === vmID),
  );
}

function listedPod(pod: PodView) {
  return {
    ...{ podID: pod.id, podName: pod.id, vmID: pod.machineId ?? '', status: listedStatus(pod) },
    ...{ createdAt: BigInt(seconds(pod.createdAt)), labels: { ...pod.spec.labels } },
  };
}
