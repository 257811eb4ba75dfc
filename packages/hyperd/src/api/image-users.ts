import type { ImageUsers } from '../images/image-service.ts';
import type { ContainerView, PodService, PodView } from '../pods/pod-service.ts';

/** Tells the image service which containers need an image. */
export function imageUsers(pods: PodService): ImageUsers {
  return (id) =>
    pods
      .list()
      .flatMap((pod) =>
        pod.containers
          .filter(({ imageId }) => imageId === id)
          .map((container) => ({ container: container.id, isRunning: isRunning(container, pod) })),
      );
}

/** Running, or about to. */
function isRunning({ state }: ContainerView, pod: PodView): boolean {
  switch (state.phase) {
    case 'running':
      return true;
    case 'pending':
      return pod.state.phase === 'starting';
    case 'exited':
      return state.restartsAt !== undefined;
  }
}
