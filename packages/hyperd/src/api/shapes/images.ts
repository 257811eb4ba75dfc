import type { Static } from 'typebox';
import type {
  HistoryEntry,
  ImageDetails,
  ImageSummary,
  ImageUsage,
  PruneResult,
  Removal,
} from '../../images/image-service.ts';
import type * as schemas from './image-schemas.ts';

/** `repository:tag:id:created:size`, one string a tag, newest first; the fields are split off from the right. */
export function imageStrings(images: readonly ImageSummary[]): string[] {
  return newestFirst(images).flatMap((image) =>
    namesOf(image).map((name) =>
      [
        name,
        image.id.replace(/^sha256:/, ''),
        Math.floor(image.createdAt.getTime() / 1000),
        image.sizeBytes,
      ].join(':'),
    ),
  );
}

function namesOf({ tags, digests }: ImageSummary): readonly string[] {
  if (tags.length > 0) return tags;
  const repositories = new Set(digests.map((digest) => digest.replace(/@.*$/, '')));
  if (repositories.size === 0) return ['<none>:<none>'];
  return [...repositories].map((repository) => `${repository}:<none>`);
}

/** The steps of a removal, in the original's spelling. */
export function removalShape(
  removals: readonly Removal[],
): Static<typeof schemas.ImageRemovals>['imagesList'] {
  return removals.map((removal) =>
    'untagged' in removal ? { untaged: removal.untagged } : { deleted: removal.deleted },
  );
}

/** What a pruning took away, and the bytes of disk that are free again. */
export function pruneShape({ removals, reclaimedBytes }: PruneResult): Static<typeof schemas.PruneAnswer> {
  const removed = removals.map((removal) =>
    'untagged' in removal ? { Untagged: removal.untagged } : { Deleted: removal.deleted },
  );
  return { Removed: removed, SpaceReclaimed: reclaimedBytes };
}

/** An image as `docker images` knows it, with its place on disk; newest first. */
export function usageShape(images: readonly ImageUsage[]): Static<typeof schemas.ImageUsages> {
  return newestFirst(images).map((image) => ({
    ...{ Id: image.id, RepoTags: [...image.tags], RepoDigests: [...image.digests] },
    Created: Math.floor(image.createdAt.getTime() / 1000),
    ...{ Size: image.sizeBytes, SharedSize: image.sharedBytes, UniqueSize: image.uniqueBytes },
    Labels: { ...image.labels },
  }));
}

/** All about an image, in the names of `docker inspect`. */
export function imageInfoShape(image: ImageDetails): Static<typeof schemas.ImageInfo> {
  return {
    ...{ Id: image.id, RepoTags: [...image.tags], RepoDigests: [...image.digests] },
    ...{ Created: image.createdAt.toISOString(), Author: image.author, Comment: image.comment },
    ...{ Architecture: image.architecture, Os: image.os, Size: image.sizeBytes, Config: image.config },
    RootFS: { Type: 'layers', Layers: [...image.diffIds] },
    ManifestDigest: image.manifestDigest,
  };
}

/** The steps an image was made in, newest first, in the names of `docker history`. */
export function historyShape(history: readonly HistoryEntry[]): Static<typeof schemas.ImageHistory> {
  return history.map((entry) => ({
    Id: entry.id ?? '<missing>',
    Created: Math.floor(entry.createdAt.getTime() / 1000),
    ...{ CreatedBy: entry.createdBy, Tags: [...entry.tags], Size: entry.sizeBytes, Comment: entry.comment },
  }));
}

function newestFirst<T extends ImageSummary>(images: readonly T[]): T[] {
  return [...images].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
}
