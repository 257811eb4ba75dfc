import { HyperError } from '../../errors.ts';
import { json, type Route } from '../call.ts';
import { ofSchema } from '../describe.ts';
import { authOfBody } from '../registry-auth.ts';
import { LoginAnswer, RegistryCredentials } from '../shapes/image-schemas.ts';
import type { RouteContext } from './context.ts';

/** Logins at registries. */
export function authRoutes({ images }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/auth', body: 'stream', parameters: {} },
      ...{ bodySchema: RegistryCredentials, bodyType: 'application/json' },
      summary:
        "Asks a registry whether it takes the credentials of the JSON body: `username`, `password`, `serveraddress` (default: Docker's)",
      answers: { 200: ofSchema(LoginAnswer, '`Status`'), 401: 'it does not' },
      handle: async ({ body, signal }) => {
        const auth = await authOfBody(body, 'read credentials');
        if (auth === undefined) {
          throw new HyperError(
            'invalid-argument',
            'read credentials: the body holds no username and password',
          );
        }
        return json(200, { Status: await images.login(auth, signal) });
      },
    },
  ];
}
