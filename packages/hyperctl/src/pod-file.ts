import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Options } from './options.ts';
import { isPortMapping } from './port-mapping.ts';

const LIMIT_BYTES = 4 * 1024 * 1024;

/** The pod of `--podfile` or `--yaml`; undefined when neither is given. Throws when it cannot be read. */
export async function podFromFile(options: Options, stdin: NodeJS.ReadStream): Promise<object | undefined> {
  const json = options.all('podfile').findLast((value) => !isPortMapping(value));
  const yaml = options.text('yaml');
  const path = json ?? yaml;
  if (path === undefined) return undefined;
  const bytes = path === '-' ? await buffer(stdin) : await readFile(path);
  if (bytes.length > LIMIT_BYTES) throw new Error(`read pod from "${path}": more than ${LIMIT_BYTES} bytes`);
  const text = bytes.toString('utf8');
  const pod: unknown = json === undefined ? await parseYaml(text, path) : parseJson(text, path);
  if (typeof pod === 'object' && pod !== null && !Array.isArray(pod)) return pod;
  throw new Error(`read pod from "${path}": want an object`);
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`read pod from "${path}": ${(error as Error).message}`);
  }
}

async function parseYaml(text: string, path: string): Promise<unknown> {
  const { parse } = await import('yaml'); // only here: most commands need none
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`read pod from "${path}": ${(error as Error).message}`);
  }
}
