import { defaultHost } from '@hyperd/client';

/** Where the daemon is: the option, else `HYPER_HOST`, else the usual socket of this user. */
export function hostUrl(option: string | undefined): string {
  return option || process.env.HYPER_HOST || defaultHost(process.env, process.getuid?.() ?? 0);
}
