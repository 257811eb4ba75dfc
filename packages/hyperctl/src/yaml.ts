import { parse } from 'yaml';

/**
 * A YAML document. In a module of its own, so that it can be loaded when it is needed: the package itself has no named exports where the
 * bundle loads it late. Throws what the parser throws.
 */
export function parseYaml(text: string): unknown {
  return parse(text);
}
