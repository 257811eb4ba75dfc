import { HyperError } from './errors.ts';

const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
/** The index of the write-ahead log cannot grow, for which there is no other reason than this. */
const SQLITE_IOERR_SHMSIZE = SQLITE_IOERR | (19 << 8);

/** Whether the disk was full, also below of what was made of that error since. */
export function isOutOfRoom(error: unknown): boolean {
  return wantOfRoom(error) !== undefined;
}

function wantOfRoom(error: unknown): Error | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, errcode } = cause as { code?: unknown; errcode?: unknown };
    if (code === 'ENOSPC' || code === 'EDQUOT') return cause;
    if (typeof errcode === 'number' && kindOf(errcode) === SQLITE_FULL) return cause;
  }
  return undefined;
}

/**
 * What the host could not do for us, in words for whoever asked; undefined for an error of another kind. `what` was being done ("pull busybox"), where the
 * caller knows.
 */
export function hostFailure(error: unknown, what?: string): HyperError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const says = (kind: 'limit' | 'internal' | 'corrupt', message: string): HyperError =>
    new HyperError(kind, what === undefined ? message : `${what}: ${message}`, { cause: error });
  switch (typeof errcode === 'number' ? kindOf(errcode) : code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case SQLITE_FULL:
      return says(
        'limit',
        `no space is left on the disk of the daemon (${placeOf(error)}); free some, for example with "hyperctl rm" or "hyperctl prune", and try again`,
      );
    case 'EMFILE':
    case 'ENFILE':
      return says('limit', 'the daemon cannot open more files; raise its limit (LimitNOFILE)');
    case 'EROFS':
    case 'EIO':
    case SQLITE_IOERR:
      return says('internal', `the disk of the daemon cannot be written to or read: ${error.message}`);
    case SQLITE_CORRUPT:
      return says('corrupt', 'the state database is damaged; "hyperctl doctor" tells what to do');
    default:
      return undefined;
  }
}

/** What to tell of `error`, which ended `what`: what the host could not do, where it is that, else the error itself. */
export function toldOf(error: unknown, what: string): unknown {
  const told = hostFailure(wantOfRoom(error) ?? error, what);
  return told && (isOutOfRoom(error) || !(error instanceof HyperError)) ? told : error;
}

/** The low byte is the kind, the rest its details (sqlite.org/rescode.html). */
function kindOf(errcode: number): number {
  return errcode === SQLITE_IOERR_SHMSIZE ? SQLITE_FULL : errcode & 0xff;
}

/** What could not be written. */
function placeOf(error: Error): string {
  const { syscall, path, dest, errcode } = error as {
    syscall?: unknown;
    path?: unknown;
    dest?: unknown;
    errcode?: unknown;
  };
  if (typeof errcode === 'number') return 'the state database';
  return [syscall, dest ?? path].filter((part) => typeof part === 'string').join(' ') || 'a file';
}
