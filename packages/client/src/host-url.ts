/** Options of node:http that lead to a daemon. */
export type Target = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** Reads `unix:///PATH` or `tcp://ADDRESS:PORT`. Throws an Error that says what is allowed. */
export function parseHostUrl(url: string): Target {
  const socketPath = /^unix:\/\/(\/.+)$/.exec(url)?.[1];
  if (socketPath) return { socketPath };
  const [, bracketed, plain, port] =
    /^tcp:\/\/(?:\[([0-9a-fA-F:]+)\]|([^:/[\]]*)):(\d{1,5})\/?$/.exec(url) ?? [];
  if (port && Number(port) <= 65_535) {
    return { host: bracketed ?? (plain || '127.0.0.1'), port: Number(port) };
  }
  throw new Error(`read host "${url}": want unix:///PATH or tcp://ADDRESS:PORT`);
}
