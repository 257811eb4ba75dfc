import type { Readable } from 'node:stream';
import { HyperError } from '../../errors.ts';
import type { ImageService, RegistryAuth } from '../../images/image-service.ts';
import { isNameOnly, parseReference, withTag } from '../../images/reference.ts';
import type { Answer, AnswerDescription, Call, PlainRoute, Route } from '../call.ts';
import { jsonText, needed, ofType, repeated } from '../describe.ts';
import type { Parameters } from '../parameters.ts';
import { progressAnswer } from '../progress-answer.ts';
import { authOfBody, registryAuth } from '../registry-auth.ts';
import { ProgressLine, References, RegistryCredentials } from '../shapes/image-schemas.ts';
import type { RouteContext } from './context.ts';

const TAR = 'application/x-tar';
const UNKNOWN = 'unknown image';
const progress = (text = ''): AnswerDescription => ({
  text: `stream of Docker's progress messages${text}`,
  ...{ schema: ProgressLine, contentType: 'application/json' },
});

/** Images that come in and go out. */
export function imageTransferRoutes({ images }: RouteContext): Route[] {
  return [createRoute(images), pushRoute(images), loadRoute(images), saveRoute(images)];
}

function createRoute(images: ImageService): PlainRoute {
  return {
    ...{ method: 'POST', path: '/image/create', body: 'stream', bodyType: TAR },
    summary:
      'Pulls an image; the header `X-Registry-Auth` holds base64-encoded JSON credentials. Without `imageName`: makes an image out of a tar of its root file system',
    parameters: {
      imageName:
        'reference of the image to pull; with neither tag nor digest all tags of the repository are pulled',
      tag: 'pull: tag or digest, in place of that of the name; import: tag of the new image (default: `latest`)',
      platform: 'pull: `OS/ARCHITECTURE[/VARIANT]` (default: that of this host)',
      fromSrc: 'import: `-` for the body, else a URL; the tar may be compressed',
      repo: 'import: repository of the new image',
      message: 'import: comment of the new image',
      changes: repeated('import: a Dockerfile instruction for its configuration; repeatable'),
    },
    answers: { 200: progress(), 401: 'refused', 404: UNKNOWN },
    handle: (call) =>
      call.parameters.text('imageName').trim() === '' ? imported(images, call) : pulled(images, call),
  };
}

function pulled(images: ImageService, { parameters, headers, signal }: Call): Answer {
  const reference = withTag(parameters.text('imageName').trim(), parameters.text('tag').trim());
  const auth = registryAuth(headers['x-registry-auth']);
  const platform = parameters.text('platform').trim();
  const options = { ...(auth ? { auth } : {}), ...(platform === '' ? {} : { platform }), signal };
  const isRepository = isNameOnly(parseReference(reference));
  return progressAnswer((onProgress) =>
    isRepository
      ? images.pullAll(reference, { ...options, onProgress })
      : images.pull(reference, { ...options, onProgress }),
  );
}

function imported(images: ImageService, { parameters, body, signal }: Call): Answer {
  const source = parameters.text('fromSrc').trim();
  if (source === '') {
    throw new HyperError(
      'invalid-argument',
      'create image: give "imageName" to pull, or "fromSrc" to import',
    );
  }
  const repository = parameters.text('repo').trim();
  const tag = parameters.text('tag').trim();
  const message = parameters.text('message');
  const options = {
    ...(repository === '' ? {} : { reference: tag === '' ? repository : `${repository}:${tag}` }),
    ...(message === '' ? {} : { message }),
    changes: parameters.all('changes'),
    signal,
  };
  return progressAnswer((onProgress) =>
    source === '-'
      ? images.import(body, { ...options, onProgress })
      : images.importUrl(/^[a-z]+:\/\//i.test(source) ? source : `http://${source}`, {
          ...options,
          onProgress,
        }),
  );
}

function pushRoute(images: ImageService): PlainRoute {
  return {
    ...{ method: 'POST', path: '/image/push', aliases: ['/images/push'] },
    ...{ body: 'stream', bodySchema: RegistryCredentials, bodyType: 'application/json' },
    summary:
      'Sends an image to the registry that its name gives; credentials as JSON, base64-encoded in the header `X-Registry-Auth` or as the body',
    parameters: {
      remote: needed('name of the image; without a tag all tags of the repository are sent'),
      tag: 'tag, in place of that of the name',
    },
    answers: {
      200: progress(', among them one with `aux`: `Tag`, `Digest`, `Size`'),
      401: 'refused',
      404: UNKNOWN,
    },
    handle: async ({ parameters, headers, body, signal }) => {
      const reference = withTag(parameters.text('remote').trim(), parameters.text('tag').trim());
      const auth = await pushAuth(headers['x-registry-auth'], body);
      return progressAnswer((onProgress) =>
        images.push(reference, { ...(auth ? { auth } : {}), onProgress, signal }),
      );
    },
  };
}

async function pushAuth(
  header: string | string[] | undefined,
  body: Readable,
): Promise<RegistryAuth | undefined> {
  if (header !== undefined && header !== '') return registryAuth(header);
  return authOfBody(body, 'Bad parameters and missing X-Registry-Auth');
}

function loadRoute(images: ImageService): PlainRoute {
  return {
    ...{ method: 'POST', path: '/image/load', body: 'stream', bodyType: TAR },
    summary: 'Takes in a `docker save` archive or an OCI layout: a tar stream, plain or compressed',
    parameters: {
      name: "name for the archive's only image",
      refs: jsonText(
        'JSON object: name in the archive to the name that the image gets; other images are left out',
        References,
      ),
    },
    answers: { 200: progress() },
    handle: ({ parameters, body, signal }) => {
      const name = parameters.text('name').trim();
      const refs = refsOf(parameters);
      if (name !== '' && refs !== undefined) {
        throw new HyperError('invalid-spec', 'cannot load with either name and refs');
      }
      const options = { ...(name === '' ? {} : { name }), ...(refs ? { refs } : {}), signal };
      return progressAnswer((onProgress) => images.load(body, { ...options, onProgress }));
    },
  };
}

function saveRoute(images: ImageService): PlainRoute {
  return {
    ...{ method: 'GET', path: '/images/save' },
    summary:
      'Answers an archive of images; one that fails in between ends the connection before the last chunk',
    parameters: {
      names: repeated('reference of an image; repeatable'),
      format: '`oci` for a layout of the OCI; else what `docker load` reads, which is such a layout as well',
      refs: jsonText('JSON object: image name to the name that the layout gives it', References),
    },
    answers: { 200: ofType(TAR, 'tar stream'), 404: UNKNOWN },
    handle: ({ parameters, signal }) => {
      const refs = refsOf(parameters);
      const format = parameters.text('format') === 'oci' ? 'oci' : 'docker';
      return {
        ...{ kind: 'stream', contentType: TAR },
        async produce(out) {
          const names = parameters.all('names');
          const archive = await images.save(names, { format, ...(refs ? { refs } : {}), signal });
          try {
            for await (const chunk of archive) await out.write(chunk as Uint8Array);
          } finally {
            archive.destroy();
          }
        },
      };
    },
  };
}

function refsOf(parameters: Parameters): Record<string, string> | undefined {
  const text = parameters.text('refs').trim();
  if (text === '') return undefined;
  const wanted = 'want a JSON object of names';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new HyperError('invalid-argument', `read refs "${text}": ${wanted}`, { cause: error });
  }
  if (json === null) return undefined;
  if (typeof json !== 'object' || Array.isArray(json)) {
    throw new HyperError('invalid-argument', `read refs "${text}": ${wanted}`);
  }
  for (const [name, value] of Object.entries(json)) {
    if (typeof value !== 'string') {
      throw new HyperError('invalid-argument', `read refs: the value of "${name}" is no text, ${wanted}`);
    }
  }
  return Object.keys(json).length > 0 ? (json as Record<string, string>) : undefined;
}
