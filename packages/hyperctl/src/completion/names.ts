import { createClient } from '@hyperd/client';
import { hostUrl } from '../host.ts';
import type { Names } from './complete.ts';

/** Asks the daemon. */
export const namesOfDaemon: Names = async (kind, host) => {
  using client = createClient(hostUrl(host));
  switch (kind) {
    case 'pod':
      return (await client.pods()).map(({ id }) => id);
    case 'container':
      return (await client.containers()).map(({ name }) => name);
    case 'machine':
      return (await client.machines()).map(({ id }) => id);
    case 'image':
      return (await client.images.list())
        .filter(({ tag }) => tag !== '<none>')
        .map(({ repository, tag }) => `${repository}:${tag}`);
  }
};
