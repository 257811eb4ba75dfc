import type { Client } from '@hyperd/client';
import { type ProgressOutput, ProgressView } from './progress-view.ts';
import { credentialsFor } from './registry-credentials.ts';

/** Pulls an image and shows its progress. */
export async function pullImage(
  client: Client,
  image: string,
  output: ProgressOutput,
  signal?: AbortSignal,
): Promise<void> {
  const auth = await credentialsFor(image);
  const view = new ProgressView(output);
  const messages = client.pull(image, { auth, ...(signal ? { signal } : {}) });
  for await (const message of messages) view.show(message);
}

/** `image` with `:latest` where it has neither tag nor digest. */
export function withDefaultTag(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  return /[:@]/.test(name) ? image : `${image}:latest`;
}
