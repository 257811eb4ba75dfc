import { HyperError } from '../errors.ts';

/** The values of a `RUN --mount` field. Each throws `invalid-argument` for a text that is none. */

export function isTrue(text: string | undefined): boolean {
  return text !== undefined && !['false', '0', 'f'].includes(text.toLowerCase());
}

export function modeOf(text: string): number {
  if (/^[0-7]{1,5}$/.test(text)) return Number.parseInt(text, 8);
  throw new HyperError('invalid-argument', `RUN --mount: mode "${text.slice(0, 100)}" is no octal number`);
}

/** A user's or group's; 0 where it is not given. */
export function idOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new HyperError('invalid-argument', `RUN --mount: id "${text.slice(0, 100)}" is no number`);
}

/** Bytes. */
export function sizeOf(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,12})([kmg]?)b?$/i.exec(text) ?? [];
  if (count === '')
    throw new HyperError('invalid-argument', `RUN --mount: size "${text.slice(0, 100)}" is none such as 64m`);
  return Number(count) * 1024 ** ' kmg'.indexOf(unit.toLowerCase() || ' ');
}
