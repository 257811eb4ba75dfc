import type { ProgressMessage } from '../../images/image-service.ts';
import { errorAnswer } from '../error-status.ts';

/** One message of Docker's progress stream, with the carriage return and line feed that end it. */
export function progressLine(message: ProgressMessage): string {
  const { status, id, stream, progressDetail, aux } = message;
  const detail = progressDetail?.current === undefined ? {} : { progress: progressText(progressDetail) };
  return `${JSON.stringify({ stream, status, id, progressDetail, ...detail, aux })}\r\n`;
}

/** The message that ends a stream which has failed. */
export function errorLine(error: unknown): string {
  const { message, status } = errorAnswer(error);
  return `${JSON.stringify({ error: message, errorDetail: { code: status, message } })}\r\n`;
}

function progressText({
  current = 0,
  total,
}: {
  readonly current?: number;
  readonly total?: number;
}): string {
  return total ? `${current} B/ ${total} B` : `${current} B`;
}
