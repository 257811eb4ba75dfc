import { HyperError } from './errors.ts';

const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;

/** What the host could not do for us, in words for whoever asked; undefined for an error of another kind. */
export function hostFailure(error: unknown): HyperError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const says = (kind: 'limit' | 'internal' | 'corrupt', message: string): HyperError =>
    new HyperError(kind, message, { cause: error });
  // The low byte is the kind, the rest its details (sqlite.org/rescode.html).
  switch (typeof errcode === 'number' ? errcode & 0xff : code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case SQLITE_FULL:
      return says('limit', 'no space is left on the disk of the daemon; free some, and try again');
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
