/** Under which Docker's own registry has its credentials. */
export const DEFAULT_SERVER = 'https://index.docker.io/v1/';

const DEFAULT_HOSTS = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** The server of a reference: its first part where that looks like a host (Docker's rule), else Docker's own. */
export function serverOfImage(image: string): string {
  const [first = '', rest] = image.split('/', 2);
  const isHost = rest !== undefined && (/[.:]/.test(first) || first === 'localhost');
  return isHost ? serverOf(first) : DEFAULT_SERVER;
}

/** What credentials for an address (`HOST[:PORT]`, a URL, or nothing) are kept under: a host, or Docker's own server. */
export function serverOf(address: string): string {
  const host = hostOf(address);
  return host === '' || DEFAULT_HOSTS.includes(host) ? DEFAULT_SERVER : host;
}

function hostOf(address: string): string {
  return address
    .trim()
    .replace(/^https?:\/\//i, '')
    .replace(/\/.*$/s, '');
}
