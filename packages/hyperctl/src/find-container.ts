import { ApiError, type Client, type ContainerInfo, type PodInfo } from '@hyperd/client';

export type Found = { readonly containerInfo: ContainerInfo } | { readonly podInfo: PodInfo };

/** The container of that name or id; where there is none, the first container of the pod of that name. Throws ApiError. */
export async function findContainer(client: Client, reference: string): Promise<ContainerInfo> {
  const found = await findPodOrContainer(client, reference);
  if ('containerInfo' in found) return found.containerInfo;
  const first = found.podInfo.spec.containers?.[0];
  if (!first) throw new Error(`pod "${reference}" has no container`);
  return client.containerInfo(first.containerID);
}

/** The container of that name or id; where there is none, the pod of that name. Throws ApiError. */
export async function findPodOrContainer(client: Client, reference: string): Promise<Found> {
  try {
    return { containerInfo: await client.containerInfo(reference) };
  } catch (error) {
    if (!isNotFound(error)) throw error;
    try {
      return { podInfo: await client.podInfo(reference) };
    } catch (second) {
      throw isNotFound(second) ? error : second;
    }
  }
}

/** The daemon knows no such thing. */
export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}
