import { ApiError, type Client } from '@hyperd/client';
import { pullImage, withDefaultTag } from './pull.ts';

/**
 * Does `create`, and once more after pulling `images` when the daemon answers that one is missing. Progress goes to `stderr`: stdout
 * belongs to the container.
 */
export async function pullingImages<T>(
  client: Client,
  images: readonly string[],
  create: () => Promise<T>,
  stderr: NodeJS.WriteStream,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await create();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    stderr.write(`${error.message}\n`);
    for (const image of new Set(images)) {
      await pullImage(client, withDefaultTag(image), { output: stderr, stderr }, { signal });
    }
    return create();
  }
}

/** The images that a pod names. */
export function imagesOf(pod: object): string[] {
  const entries = Object.entries(pod).find(([key]) => key.toLowerCase() === 'containers')?.[1];
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((container: unknown) => {
    if (typeof container !== 'object' || container === null) return [];
    const image: unknown = Object.entries(container).find(([key]) => key.toLowerCase() === 'image')?.[1];
    return typeof image === 'string' ? [image] : [];
  });
}
