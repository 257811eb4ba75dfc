import { HyperError } from '../errors.ts';

/** A program that the guest could not run. */
export class CommandError extends HyperError {
  /** What a shell would exit with: 127 where the program is missing, 126 where it cannot be executed. */
  readonly exitCode: 126 | 127;

  constructor(exitCode: 126 | 127, message: string) {
    super('invalid-argument', message);
    this.exitCode = exitCode;
  }
}
