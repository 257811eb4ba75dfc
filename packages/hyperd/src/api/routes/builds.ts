import { HyperError } from '../../errors.ts';
import type { Route } from '../call.ts';

/** Images made of Dockerfiles: the call is known, but this version builds none. */
export function buildRoutes(): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/image/build', body: 'stream', bodyType: 'application/tar' },
      summary: 'Builds an image of a Dockerfile and its context',
      parameters: {},
      answers: { 501: 'this version does not do it' },
      handle: () => {
        throw new HyperError('unsupported', 'build image: not supported yet');
      },
    },
  ];
}
