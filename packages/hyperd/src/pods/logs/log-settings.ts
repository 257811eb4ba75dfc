import { HyperError } from '../../errors.ts';

/** As a pod's specification, or the daemon's configuration, gives it. */
export interface LogChoice {
  /** `json-file`, `none`; empty: as the daemon has it. */
  readonly type: string;
  readonly config: Readonly<Record<string, string>>;
}

/** How a container's log is kept. */
export interface LogSettings {
  readonly isKept: boolean;
  /** A file that is larger is put aside. */
  readonly maxSizeBytes: number;
  /** How many files there are, the current one included. */
  readonly maxFiles: number;
  /** Names of labels and variables of the container that every entry carries. */
  readonly labels: readonly string[];
  readonly envs: readonly string[];
}

/** Logs never grow without bound: this size, this many files, unless somebody says otherwise. */
const DEFAULTS = { 'max-size': '10m', 'max-file': '3', labels: '', env: '' };
const TYPES = ['json-file', 'none'];
export const LOG_OPTIONS: readonly string[] = Object.keys(DEFAULTS);
const MIN_SIZE_BYTES = 1024;
const MAX_FILES = 1000;
const UNITS = ' kmgt';

/** Throws where the choice cannot be had: `unsupported` for another type, `invalid-spec` with the option's place for a bad value. */
export function checkLogChoice({ type, config }: LogChoice, place: string): void {
  if (type !== '' && !TYPES.includes(type)) {
    throw new HyperError(
      'unsupported',
      `"${place}.type" is "${type}", which this version has not; want ${TYPES.join(' or ')}`,
    );
  }
  for (const [key, value] of Object.entries(config)) {
    if (!LOG_OPTIONS.includes(key))
      refuse(`${place}.config.${key}`, value, `one of ${LOG_OPTIONS.join(', ')}`);
  }
  const { 'max-size': size, 'max-file': files } = config;
  if (size !== undefined && !isLogSize(size)) refuse(`${place}.config.max-size`, size, LOG_SIZE_TEXT);
  if (files !== undefined && !isLogFileCount(files)) {
    refuse(`${place}.config.max-file`, files, LOG_FILES_TEXT);
  }
}

export const LOG_SIZE_TEXT = 'a size from 1k on, such as 500k, 10m or 1g';
export const LOG_FILES_TEXT = `a number of files, 1 to ${MAX_FILES}`;

export function isLogSize(text: string): boolean {
  return bytesOf(text) >= MIN_SIZE_BYTES;
}

export function isLogFileCount(text: string): boolean {
  return /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= MAX_FILES;
}

/** What a checked choice comes to, with the daemon's own for what it leaves open. */
export function logSettings(choice: LogChoice, daemon: LogChoice): LogSettings {
  const config: Readonly<Record<string, string>> = { ...DEFAULTS, ...daemon.config, ...choice.config };
  return {
    isKept: (choice.type || daemon.type) !== 'none',
    maxSizeBytes: bytesOf(config['max-size'] ?? ''),
    maxFiles: Number(config['max-file']),
    labels: listOf(config.labels),
    envs: listOf(config.env),
  };
}

/** Bytes of `10m`; NaN for what is no size. */
function bytesOf(text: string): number {
  const [, count, unit = ''] = /^(\d{1,12}(?:\.\d{1,6})?)([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  return Math.floor(Number(count) * 1024 ** UNITS.indexOf(unit.toLowerCase() || ' '));
}

function listOf(text = ''): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function refuse(place: string, value: string, allowed: string): never {
  throw new HyperError('invalid-spec', `"${place}" is "${value.slice(0, 64)}", want ${allowed}`);
}
