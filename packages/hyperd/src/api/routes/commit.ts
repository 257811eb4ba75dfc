import { HyperError } from '../../errors.ts';
import { parseCommitConfig } from '../../pods/commit.ts';
import { env, type Route } from '../call.ts';
import { flag, ofSchema, repeated } from '../describe.ts';
import type { Parameters } from '../parameters.ts';
import { JSON_LIMIT_BYTES, parseJson, readBody } from '../request-body.ts';
import { ActionAnswer, ContainerConfig } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

/** Images out of containers. */
export function commitRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/container/commit' },
      ...{ body: 'stream', bodySchema: ContainerConfig, bodyType: 'application/json' },
      summary:
        "Makes an image of what a container has changed, whether it runs or not; the body, JSON of any content type, is Docker's container configuration and goes before the container's own",
      parameters: {
        container: 'name, id or unique prefix of an id',
        repo: 'repository of the new image; without it the image has no name',
        tag: 'its tag (default: `latest`)',
        author: 'who made it',
        'comment/message': 'a comment on it',
        'pause/p': flag('the container stands still meanwhile (default: no)'),
        'changes/change': repeated(
          'a Dockerfile instruction for its configuration; or several as a JSON array',
        ),
      },
      answers: { 200: ofSchema(ActionAnswer, '`ID`, `Code`, `Cause`'), 404: 'unknown container' },
      handle: async ({ parameters, body, signal }) => {
        const text = (await readBody(body, JSON_LIMIT_BYTES)).trim();
        const repository = parameters.text('repo').trim();
        const tag = parameters.text('tag').trim();
        const id = await pods.commit(parameters.text('container'), {
          ...(repository && { reference: tag ? `${repository}:${tag}` : repository }),
          author: parameters.text('author'),
          message: parameters.text('comment', 'message'),
          pause: parameters.flag('pause', 'p'),
          changes: changesOf(parameters),
          config: parseCommitConfig(text === '' ? undefined : parseJson(text, 'configuration')),
          signal,
        });
        return env(200, { ID: id, Code: 0, Cause: '' });
      },
    },
  ];
}

/** Every value is an instruction, or a JSON array of them: what hyperctl of the original sends. */
function changesOf(parameters: Parameters): string[] {
  return [...parameters.all('changes'), ...parameters.all('change')].flatMap((text) => {
    if (!text.trimStart().startsWith('[')) return [text];
    const list = parseJson(text, 'changes');
    if (Array.isArray(list) && list.every((item) => typeof item === 'string')) return list;
    throw new HyperError(
      'invalid-argument',
      `read changes "${text.slice(0, 200)}": want a JSON array of instructions`,
    );
  });
}
