import type { ProgressListener, ProgressMessage } from '../images/image-service.ts';
import type { Answer, AnswerStream } from './call.ts';
import { ProgressQueue } from './progress-queue.ts';
import { errorLine, progressLine } from './shapes/progress.ts';

/**
 * A stream of what `work` reports. What comes first only announces the work: it waits for the second message, so that a name that nobody knows
 * or a refused login still is an ordinary error. A later error is the stream's last message.
 */
export function progressAnswer(work: (onProgress: ProgressListener) => Promise<unknown>): Answer {
  return {
    kind: 'stream',
    contentType: 'application/json',
    async produce(out: AnswerStream) {
      const queue = new ProgressQueue((message) => out.write(progressLine(message)));
      let announced: ProgressMessage | undefined;
      let count = 0;
      const announce = (): void => {
        if (announced) queue.push(announced);
        announced = undefined;
      };
      try {
        await work((message) => {
          if (++count === 1) {
            announced = message;
            return;
          }
          announce();
          queue.push(message);
        });
        announce();
        await queue.flushed();
      } catch (error) {
        await queue.flushed();
        if (!out.isOpen) throw error;
        await out.write(errorLine(error));
      }
    },
  };
}
