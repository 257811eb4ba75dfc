/**
 * `url` (path and query) with a path that has neither empty nor dot segments; the original redirects to it. A slash at the end stays.
 * What is no path (`*`, an absolute URL) is left as it is.
 */
export function cleanUrl(url: string): string {
  const [, path = '', query = ''] = /^([^?]*)(\?.*)?$/s.exec(url) ?? [];
  if (!path.startsWith('/')) return url;
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  const slash = path.endsWith('/') && segments.length > 0 ? '/' : '';
  return `/${segments.join('/')}${slash}${query}`;
}
