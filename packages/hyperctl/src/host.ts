const DEFAULT_HOST = 'unix:///var/run/hyper.sock';

/** Where the daemon is: the option, else `HYPER_HOST`, else the usual socket. */
export function hostUrl(option: string | undefined): string {
  return option || process.env.HYPER_HOST || DEFAULT_HOST;
}
