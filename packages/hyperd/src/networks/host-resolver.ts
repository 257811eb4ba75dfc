import { readFile } from 'node:fs/promises';

const RESOLV_CONF = '/etc/resolv.conf';

/** What the host's resolver is told besides its servers, which machines reach through a forwarder. */
export interface ResolverSettings {
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** The host's settings as they are now; none where it has no file of them. */
export async function hostResolver(): Promise<ResolverSettings> {
  return parseResolvConf(await readFile(RESOLV_CONF, 'utf8').catch(() => ''));
}

/** Of several `search` or `domain` lines the last one counts, as resolv.conf(5) has it; options add up. */
export function parseResolvConf(text: string): ResolverSettings {
  let search: readonly string[] = [];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'search' || keyword === 'domain') search = values;
    else if (keyword === 'options') options.push(...values);
  }
  return { search, options };
}
