import { parseImageFilters, selectImages } from '../../api/image-filters.ts';
import { imageUsers } from '../../api/image-users.ts';
import { ProgressQueue } from '../../api/progress-queue.ts';
import { authOf } from '../../api/registry-auth.ts';
import { seconds } from '../../api/shapes/container-info.ts';
import { removalShape } from '../../api/shapes/images.ts';
import { progressLine } from '../../api/shapes/progress.ts';
import type { PullOptions } from '../../images/image-service.ts';
import { isNameOnly, parseReference, withTag } from '../../images/reference.ts';
import { required } from '../call.ts';
import type { Methods, RpcContext } from '../context.ts';
import type { AuthConfig } from '../gen/types_pb.js';

/** Images. */
export function imageMethods({
  images,
  pods,
}: RpcContext): Methods<'imageList' | 'imagePull' | 'imagePush' | 'imageRemove'> {
  return {
    async imageList({ filter, filterArgs }) {
      const filters = parseImageFilters(filter, filterArgs);
      const createdAt = async (reference: string) => (await images.inspect(reference)).createdAt;
      const selected = await selectImages(await images.list(), filters, createdAt);
      return {
        imageList: selected.map((image) => ({
          ...{ id: image.id, repoTags: [...image.tags], repoDigests: [...image.digests] },
          created: BigInt(seconds(image.createdAt)),
          ...{ virtualSize: BigInt(image.sizeBytes), labels: { ...image.labels } },
        })),
      };
    },
    async imagePull({ image, tag, auth }, send, { signal }) {
      const reference = withTag(required('image', image.trim()), tag.trim());
      const isRepository = isNameOnly(parseReference(reference));
      await transfer(
        (options) => (isRepository ? images.pullAll(reference, options) : images.pull(reference, options)),
        (data) => send({ data }),
        { auth, signal },
      );
    },
    async imagePush({ repo, tag, auth }, send, { signal }) {
      const reference = withTag(required('repo', repo.trim()), tag.trim());
      await transfer(
        (options) => images.push(reference, options),
        (data) => send({ data }),
        { auth, signal },
      );
    },
    async imageRemove({ image, force }) {
      const reference = required('image', image.trim());
      return { images: removalShape(await images.remove(reference, { force, users: imageUsers(pods) })) };
    },
  };
}

/** Runs `work`, and sends what it reports as Docker's progress messages. */
async function transfer(
  work: (options: PullOptions) => Promise<unknown>,
  send: (data: Uint8Array) => Promise<void>,
  { auth, signal }: { readonly auth: AuthConfig | undefined; readonly signal: AbortSignal },
): Promise<void> {
  const queue = new ProgressQueue((message) => send(Buffer.from(progressLine(message))));
  const credentials = authOf(auth);
  try {
    await work({
      ...(credentials ? { auth: credentials } : {}),
      ...{ onProgress: (message) => queue.push(message), signal },
    });
  } finally {
    await queue.flushed();
  }
}
