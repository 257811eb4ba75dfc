import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Options } from './options.ts';
import { isPortMapping } from './port-mapping.ts';

const LIMIT_BYTES = 4 * 1024 * 1024;

export interface PodFile {
  /** What the file holds; undefined where no file is given. */
  readonly pod: object | undefined;
  /** The operands that are no file. */
  readonly operands: readonly string[];
}

/**
 * The pod of `--podfile`, or with `--yaml` alone that of the first operand. It is YAML where `--yaml` or the file's name says so. Throws
 * when it cannot be read.
 */
export async function podFromFile(
  options: Options,
  operands: readonly string[],
  stdin: NodeJS.ReadStream,
): Promise<PodFile> {
  const path = options.all('podfile').findLast((value) => !isPortMapping(value));
  if (path !== undefined) return { pod: await readPod(path, options, stdin), operands };
  const [first, ...rest] = operands;
  if (!options.flag('yaml') || first === undefined) return { pod: undefined, operands };
  return { pod: await readPod(first, options, stdin), operands: rest };
}

async function readPod(path: string, options: Options, stdin: NodeJS.ReadStream): Promise<object> {
  const bytes = path === '-' ? await buffer(stdin) : await readFile(path);
  if (bytes.length > LIMIT_BYTES) throw new Error(`read pod from "${path}": more than ${LIMIT_BYTES} bytes`);
  const text = bytes.toString('utf8');
  const isYaml = options.flag('yaml') || /\.ya?ml$/.test(path);
  const pod: unknown = isYaml ? await readYaml(text, path) : parseJson(text, path);
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

async function readYaml(text: string, path: string): Promise<unknown> {
  const { parseYaml } = await import('./yaml.ts'); // only here: most commands need none
  try {
    return parseYaml(text);
  } catch (error) {
    throw new Error(`read pod from "${path}": ${(error as Error).message}`);
  }
}
