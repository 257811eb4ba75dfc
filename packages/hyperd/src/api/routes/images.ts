import { HyperError } from '../../errors.ts';
import type { ProgressMessage } from '../../images/image-service.ts';
import { type Answer, type AnswerStream, type Call, env, type Route } from '../call.ts';
import { ProgressQueue } from '../progress-queue.ts';
import { registryAuth } from '../registry-auth.ts';
import { filterImages, imageStrings, removalShape } from '../shapes/images.ts';
import { errorLine, progressLine } from '../shapes/progress.ts';
import type { RouteContext } from './context.ts';

/** Images. */
export function imageRoutes({ images, pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/images/get' },
      summary: 'Lists images, newest first',
      parameters: {
        all: 'no effect: there are no intermediate images',
        filter: 'only this repository; `*` and `?` stand for any part',
        filters: 'JSON object of lists: `reference`, `dangling`',
      },
      answers: '200 `imagesList`: `repository:tag:id:created:size`, one string a tag',
      handle: async ({ parameters }) => {
        const selected = filterImages(
          await images.list(),
          parameters.text('filter'),
          parameters.text('filters'),
        );
        return env(200, { imagesList: imageStrings(selected) });
      },
    },
    {
      ...{ method: 'POST', path: '/image/create' },
      summary: 'Pulls an image; the header `X-Registry-Auth` holds base64-encoded JSON credentials',
      parameters: { imageName: 'reference of the image', tag: 'tag or digest, where the name has none' },
      answers: "200 stream of Docker's progress messages",
      handle: (call) => {
        const reference = referenceOf(call);
        const auth = registryAuth(call.headers['x-registry-auth']);
        return progressAnswer((onProgress) =>
          images.pull(reference, { ...(auth ? { auth } : {}), onProgress, signal: call.signal }),
        );
      },
    },
    {
      ...{ method: 'POST', path: '/image/load', body: 'stream', parameters: {} },
      summary: 'Takes in a `docker save` archive or an OCI layout: a tar stream, plain or compressed',
      answers: "200 stream of Docker's progress messages",
      handle: ({ body, signal }) =>
        progressAnswer(async (onProgress) => {
          const loaded = await images.load(body, { onProgress, signal });
          for (const { tags, id } of loaded)
            onProgress({ stream: `Loaded image: ${tags.join(', ') || id}\n` });
        }),
    },
    {
      ...{ method: 'DELETE', path: '/image' },
      summary: 'Removes a name of an image, and the image with its last one',
      parameters: {
        imageId: 'reference, id or unique prefix of an id',
        force: 'remove all names',
        noprune: 'no effect: layers have no images of their own',
      },
      answers: '200 `imagesList`: `untaged` and `deleted` steps; 404 unknown; 409 in use',
      handle: async ({ parameters }) => {
        const reference = parameters.text('imageId', 'imageName').trim();
        if (reference === '') throw new HyperError('invalid-argument', 'image name cannot be blank');
        const removals = await images.remove(reference, {
          force: parameters.flag('force'),
          inUse: (id) => pods.containersOfImage(id),
        });
        return env(200, { imagesList: removalShape(removals) });
      },
    },
  ];
}

function referenceOf({ parameters }: Call): string {
  const name = parameters.text('imageName').trim();
  const tag = parameters.text('tag').trim();
  if (name === '') {
    throw new HyperError('unsupported', 'create image: only pulling is supported; give "imageName"');
  }
  if (tag === '') return name;
  return /^[a-z0-9]+:[0-9a-f]{32,}$/.test(tag) ? `${name}@${tag}` : `${name}:${tag}`;
}

/** A stream of what `work` reports. An error before the first message is an ordinary error, a later one the stream's last message. */
function progressAnswer(work: (onProgress: (message: ProgressMessage) => void) => Promise<unknown>): Answer {
  return {
    kind: 'stream',
    contentType: 'application/json',
    async produce(out: AnswerStream) {
      const queue = new ProgressQueue((message) => out.write(progressLine(message)));
      try {
        await work((message) => queue.push(message));
        await queue.flushed();
      } catch (error) {
        await queue.flushed();
        if (!out.isOpen) throw error;
        await out.write(errorLine(error));
      }
    },
  };
}
