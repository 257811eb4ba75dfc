import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Ailment } from '../upkeep/index.ts';

/** A part of what the daemon has on the host. */
export interface Check {
  /** One or two words. */
  readonly name: string;
  /** `verify`: also what takes long. */
  examine(options: { readonly verify: boolean }): Promise<readonly Ailment[]>;
}

export interface ReportedAilment {
  readonly problem: string;
  readonly remedy: string;
  readonly isNote: boolean;
  /** The doctor can mend it. */
  readonly canMend: boolean;
  /** It has. */
  readonly isMended: boolean;
}

export type Report = readonly { readonly name: string; readonly ailments: readonly ReportedAilment[] }[];

/** Looks for what is out of joint on the host, for the root of this daemon, while it works. */
export interface Doctor {
  /** `mend`: what can be mended is. Never rejects for what is wrong: that is in the report. */
  examine(options: { readonly verify: boolean; readonly mend: boolean }): Promise<Report>;
}

/** More of one kind are told as a number. */
const MAX_TOLD = 100;

export function createDoctor(checks: readonly Check[], logger: Logger): Doctor {
  let last: Promise<unknown> = Promise.resolve();
  const examine: Doctor['examine'] = async ({ verify, mend }) => {
    const report: Report[number][] = [];
    for (const { name, examine: find } of checks) {
      const found = await find({ verify }).catch((error: unknown): Ailment[] => [
        { problem: `this could not be looked at: ${messageOf(error)}`, remedy: 'see the log of the daemon' },
      ]);
      const ailments: ReportedAilment[] = [];
      for (const ailment of found) ailments.push(await reported(ailment, mend, logger));
      report.push({ name, ailments: bounded(ailments) });
    }
    return report;
  };
  return {
    // One after the other: two that mend would get into each other's way.
    examine(options) {
      const run = last.then(() => examine(options));
      last = run.catch(() => undefined); // told to the caller
      return run;
    },
  };
}

async function reported(ailment: Ailment, mend: boolean, logger: Logger): Promise<ReportedAilment> {
  const { problem, remedy, isNote = false } = ailment;
  const told = { problem, remedy, isNote, canMend: ailment.mend !== undefined, isMended: false };
  if (!mend || !ailment.mend) return told;
  try {
    await ailment.mend();
    logger.warn({ problem }, 'mended by the doctor');
    return { ...told, isMended: true };
  } catch (error) {
    return { ...told, remedy: `it could not be mended: ${messageOf(error)}` };
  }
}

function bounded(ailments: readonly ReportedAilment[]): readonly ReportedAilment[] {
  if (ailments.length <= MAX_TOLD) return ailments;
  const rest = ailments.slice(MAX_TOLD);
  const more: ReportedAilment = {
    ...{ problem: `and ${rest.length} more`, remedy: 'as above', isNote: rest.every(({ isNote }) => isNote) },
    ...{ canMend: rest.every(({ canMend }) => canMend), isMended: rest.every(({ isMended }) => isMended) },
  };
  return [...ailments.slice(0, MAX_TOLD), more];
}
