import type { ImageRemoval } from '@hyperd/client';

/** A line for every step, in Docker's words. */
export function removalLines(removals: readonly ImageRemoval[]): string {
  return removals
    .map((step) => ('untagged' in step ? `Untagged: ${step.untagged}\n` : `Deleted: ${step.deleted}\n`))
    .join('');
}
