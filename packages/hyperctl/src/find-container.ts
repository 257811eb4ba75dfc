import { ApiError, type Client, type ContainerInfo } from '@hyperd/client';

/** The container of that name or id; where there is none, the first container of the pod of that name. Throws ApiError. */
export async function findContainer(client: Client, reference: string): Promise<ContainerInfo> {
  try {
    return await client.containerInfo(reference);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    const first = await firstContainer(client, reference);
    if (first === undefined) throw error;
    return client.containerInfo(first);
  }
}

async function firstContainer(client: Client, pod: string): Promise<string | undefined> {
  try {
    const { spec } = await client.podInfo(pod);
    return spec.containers?.[0]?.containerID;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
