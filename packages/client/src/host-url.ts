/** Options of node:http or node:https that lead to a daemon. */
export type Target =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly isEncrypted: boolean };

/** Reads `unix:///PATH`, `tcp://ADDRESS:PORT` or `tls://ADDRESS:PORT`. Throws an Error that says what is allowed. */
export function parseHostUrl(url: string): Target {
  const socketPath = /^unix:\/\/(\/.+)$/.exec(url)?.[1];
  if (socketPath) return { socketPath };
  const [, scheme, bracketed, plain, port] =
    /^(tcp|tls):\/\/(?:\[([0-9a-fA-F:]+)\]|([^:/[\]]*)):(\d{1,5})\/?$/.exec(url) ?? [];
  if (port && Number(port) <= 65_535) {
    const host = bracketed ?? (plain || '127.0.0.1');
    return { host, port: Number(port), isEncrypted: scheme === 'tls' };
  }
  throw new Error(`read host "${url}": want unix:///PATH, tcp://ADDRESS:PORT or tls://ADDRESS:PORT`);
}
