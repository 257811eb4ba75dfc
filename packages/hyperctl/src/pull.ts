import type { Client } from '@hyperd/client';
import { usableCredentials } from './credentials/credentials.ts';
import { type ProgressOutput, showProgress } from './progress-view.ts';

export interface PullImageOptions {
  readonly platform?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Pulls an image, or all tags of a repository where it names neither tag nor digest; progress goes to `output`, where there is one. */
export async function pullImage(
  client: Client,
  image: string,
  { output, stderr }: { readonly output: ProgressOutput | undefined; readonly stderr: NodeJS.WriteStream },
  options: PullImageOptions = {},
): Promise<void> {
  const auth = await usableCredentials(image, stderr);
  await showProgress(client.images.pull(image, { ...options, auth }), output);
}

/** `image` with `:latest` where it has neither tag nor digest. */
export function withDefaultTag(image: string): string {
  return hasTagOrDigest(image) ? image : `${image}:latest`;
}

export function hasTagOrDigest(image: string): boolean {
  return /[:@]/.test(image.slice(image.lastIndexOf('/') + 1));
}
