import type { AnswerStream, Route } from '../call.ts';
import { needed, ofSchema, ofType } from '../describe.ts';
import { EmptyAnswer } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

const TAR = 'application/x-tar';
const PARAMETERS = {
  container: needed('name, id or unique prefix of an id; its pod has to run, it need not'),
  path: needed('absolute path in the container'),
};

/** Files of containers. */
export function containerFileRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/container/archive' },
      answers: { 200: ofType(TAR, 'tar stream'), 404: 'unknown container or path' },
      summary: 'Answers a file or directory of a container as a tar, named by the last part of its path',
      parameters: PARAMETERS,
      handle: ({ parameters, signal }) => {
        const [container, path] = [parameters.text('container'), parameters.text('path')];
        return {
          kind: 'stream',
          contentType: TAR,
          produce: (out: AnswerStream) =>
            pods.archive(container, path, async (tar) => {
              for await (const chunk of tar) {
                signal.throwIfAborted();
                await out.write(chunk);
              }
            }),
        };
      },
    },
    {
      ...{ method: 'PUT', path: '/container/archive', body: 'stream', bodyType: TAR },
      answers: { 200: ofSchema(EmptyAnswer, '`{}`'), 400: 'a tar that is none', 404: 'unknown container' },
      summary: 'Unpacks a tar below a directory of a container, which is created where it is missing',
      parameters: PARAMETERS,
      handle: async ({ parameters, body }) => {
        await pods.extract(parameters.text('container'), parameters.text('path'), body);
        return { kind: 'json', status: 200, value: {} };
      },
    },
  ];
}
