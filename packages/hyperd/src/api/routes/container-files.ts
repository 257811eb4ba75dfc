import type { AnswerStream, Route } from '../call.ts';
import type { RouteContext } from './context.ts';

const CONTAINER = 'name, id or unique prefix of an id; its pod has to run, it need not';

/** Files of containers. */
export function containerFileRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{
        method: 'GET',
        path: '/container/archive',
        answers: '200 tar stream; 404 unknown container or path',
      },
      summary: 'Answers a file or directory of a container as a tar, named by the last part of its path',
      parameters: { container: CONTAINER, path: 'absolute path in the container' },
      handle: ({ parameters, signal }) => {
        const [container, path] = [parameters.required('container'), parameters.required('path')];
        return {
          kind: 'stream',
          contentType: 'application/x-tar',
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
      ...{
        method: 'PUT',
        path: '/container/archive',
        body: 'stream',
        answers: '200 `{}`; 400 a tar that is none',
      },
      summary: 'Unpacks a tar below a directory of a container, which is created where it is missing',
      parameters: { container: CONTAINER, path: 'absolute path in the container' },
      handle: async ({ parameters, body }) => {
        await pods.extract(parameters.required('container'), parameters.required('path'), body);
        return { kind: 'json', status: 200, value: {} };
      },
    },
  ];
}
