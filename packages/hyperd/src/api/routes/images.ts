import { HyperError } from '../../errors.ts';
import type { ImageService, ImageSummary } from '../../images/image-service.ts';
import { type Call, done, env, json, type Route } from '../call.ts';
import { flag, jsonText, ofSchema } from '../describe.ts';
import { parseImageFilters, selectImages } from '../image-filters.ts';
import { imageUsers } from '../image-users.ts';
import {
  ImageFilters,
  ImageHistory,
  ImageInfo,
  ImageRemovals,
  ImageStrings,
  ImageUsages,
  PruneAnswer,
} from '../shapes/image-schemas.ts';
import {
  historyShape,
  imageInfoShape,
  imageStrings,
  pruneShape,
  removalShape,
  usageShape,
} from '../shapes/images.ts';
import { ActionAnswer } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

const LIST_PARAMETERS = {
  all: flag('no effect: there are no intermediate images'),
  quiet: flag('no effect: a client shows less'),
  filter: 'only this repository, or this name; `*` and `?` stand for any part',
  filters: jsonText(
    'JSON object of lists: `reference`, `label`, `dangling`, `before`, `since`',
    ImageFilters,
  ),
};
const UNKNOWN = 'unknown image';
const IMAGE = 'reference, id or unique prefix of an id';

/** Images that are on this host. */
export function imageRoutes({ images, pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/images/get', parameters: LIST_PARAMETERS },
      summary: 'Lists images, newest first',
      answers: {
        200: ofSchema(ImageStrings, '`imagesList`: `repository:tag:id:created:size`, one string a tag'),
      },
      handle: async (call) =>
        env(200, { imagesList: imageStrings(await selected(images, await images.list(), call)) }),
    },
    {
      ...{ method: 'GET', path: '/images/json', parameters: LIST_PARAMETERS },
      summary: 'Lists images with their place on disk, newest first',
      answers: {
        200: ofSchema(
          ImageUsages,
          'list of `Id`, `RepoTags`, `RepoDigests`, `Created`, `Size` (layers, uncompressed), `SharedSize` and `UniqueSize` (on disk, with and without other images), `Labels`',
        ),
      },
      handle: async (call) => json(200, usageShape(await selected(images, await images.listUsage(), call))),
    },
    {
      ...{ method: 'GET', path: '/image/info', parameters: { 'imageName/imageId': IMAGE } },
      summary: 'Tells all about an image',
      answers: {
        200: ofSchema(
          ImageInfo,
          '`Id`, `RepoTags`, `RepoDigests`, `Created`, `Author`, `Comment`, `Architecture`, `Os`, `Size`, `Config`, `RootFS`, `ManifestDigest`',
        ),
        404: UNKNOWN,
      },
      handle: async (call) => json(200, imageInfoShape(await images.inspect(imageOf(call)))),
    },
    {
      ...{ method: 'GET', path: '/image/history', parameters: { 'imageName/imageId': IMAGE } },
      summary: 'Tells the steps that an image was made in, newest first',
      answers: {
        200: ofSchema(ImageHistory, 'list of `Id`, `Created`, `CreatedBy`, `Tags`, `Size`, `Comment`'),
        404: UNKNOWN,
      },
      handle: async (call) => json(200, historyShape(await images.history(imageOf(call)))),
    },
    {
      ...{ method: 'POST', path: '/image/tag' },
      summary: 'Gives an image a further name; takes it from the image that has it',
      parameters: {
        'imageName/imageId': IMAGE,
        repo: 'repository of the new name',
        tag: 'tag of the new name (default: `latest`)',
        target: 'the new name as a whole, in place of `repo` and `tag`',
      },
      answers: { 201: ofSchema(ActionAnswer, '`ID` (the new name), `Code`, `Cause`'), 404: UNKNOWN },
      handle: async (call) => {
        const { parameters } = call;
        const tag = parameters.text('tag').trim();
        const repository = parameters.text('repo').trim();
        const target = parameters.text('target').trim() || (tag ? `${repository}:${tag}` : repository);
        if (target === '' || (repository === '' && target.startsWith(':'))) {
          throw new HyperError(
            'invalid-argument',
            'tag image: give the new name as "repo" and "tag", or as "target"',
          );
        }
        await images.tag(imageOf(call), target);
        return done(201, target);
      },
    },
    {
      ...{ method: 'DELETE', path: '/image' },
      ...removal({ images, pods }),
    },
    {
      ...{ method: 'POST', path: '/images/remove' },
      ...removal({ images, pods }),
      summary: 'The same for clients of the first releases',
    },
    {
      ...{ method: 'POST', path: '/images/prune' },
      summary: 'Removes images without a tag that no container uses',
      parameters: { all: flag('also those with a tag') },
      answers: {
        200: ofSchema(
          PruneAnswer,
          '`Removed`: `Untagged` and `Deleted` steps; `SpaceReclaimed`: bytes of disk',
        ),
      },
      handle: async ({ parameters }) =>
        json(200, pruneShape(await images.prune({ all: parameters.flag('all'), users: imageUsers(pods) }))),
    },
  ];
}

function removal({
  images,
  pods,
}: Pick<RouteContext, 'images' | 'pods'>): Pick<
  Extract<Route, { handle: unknown }>,
  'summary' | 'parameters' | 'answers' | 'handle'
> {
  return {
    summary: 'Removes a name of an image, and the image with its last one',
    parameters: {
      'imageId/imageName': IMAGE,
      force: flag('remove all names, also where stopped containers need the image'),
      noprune: flag('no effect: layers have no images of their own'),
    },
    answers: {
      200: ofSchema(ImageRemovals, '`imagesList`: `untaged` and `deleted` steps'),
      404: UNKNOWN,
      409: 'in use',
    },
    handle: async ({ parameters }) => {
      const reference = parameters.text('imageId', 'imageName').trim();
      if (reference === '') throw new HyperError('invalid-spec', 'image name cannot be blank');
      const removals = await images.remove(reference, {
        force: parameters.flag('force'),
        users: imageUsers(pods),
      });
      return env(200, { imagesList: removalShape(removals) });
    },
  };
}

function imageOf({ parameters }: Call): string {
  const reference = parameters.text('imageName', 'imageId').trim();
  if (reference === '') throw new HyperError('invalid-argument', 'read parameters: "imageName" is missing');
  return reference;
}

async function selected<T extends ImageSummary>(
  images: ImageService,
  listed: readonly T[],
  { parameters }: Call,
): Promise<T[]> {
  const filters = parseImageFilters(parameters.text('filter'), parameters.text('filters'));
  return selectImages(listed, filters, async (reference) => (await images.inspect(reference)).createdAt);
}
