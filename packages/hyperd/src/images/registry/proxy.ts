import { BlockList, isIP } from 'node:net';
import { Failure } from './failure.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy to reach `url` by, after the rules of Go's programs, which Docker's users know: `HTTPS_PROXY` for https, `HTTP_PROXY` for http, none for
 * loopback by its own name or for what `NO_PROXY` lists (a domain with its subdomains, `.domain` for the subdomains only, an address, a CIDR range,
 * each with or without a port; `*` for all). Throws `invalid-argument` for a proxy that is no http(s) URL.
 */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const value = read(env, name);
  if (value === undefined || isLoopback(url.hostname) || isExempt(url, read(env, 'NO_PROXY') ?? ''))
    return undefined;
  const proxy = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy;
  throw new Failure(
    'invalid-argument',
    `${name} is no URL of a proxy, want http://HOST:PORT or https://HOST:PORT`,
  );
}

/** Whether a host name or address, with or without brackets, is this host by its own name. */
export function isLoopback(hostname: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(hostname);
}

function read(env: Environment, name: string): string | undefined {
  return env[name] || env[name.toLowerCase()] || undefined;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== '' && matches(entry, host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return isIP(host) !== 0 && isInRange(entry, host);
  const [, bracketed, plain, wantedPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
  const name = bracketed ?? plain ?? entry; // an address of IPv6 without brackets is the whole entry
  if (wantedPort !== undefined && wantedPort !== port) return false;
  if (isIP(name))
    return isIP(host) === isIP(name) && isInRange(`${name}/${isIP(name) === 6 ? 128 : 32}`, host);
  const domain = name.replace(/^\*(?=\.)/, '').replace(/\.$/, '');
  if (domain.startsWith('.')) return host.endsWith(domain);
  return host === domain || host.endsWith(`.${domain}`);
}

function isInRange(cidr: string, address: string): boolean {
  const [network = '', prefix = ''] = cidr.split('/');
  const family = isIP(network);
  const bits = Number(prefix);
  if (family === 0 || !/^\d+$/.test(prefix) || bits > (family === 6 ? 128 : 32)) return false;
  const range = new BlockList();
  range.addSubnet(network, bits, family === 6 ? 'ipv6' : 'ipv4');
  return range.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
