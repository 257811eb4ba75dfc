import { type Static, Type } from 'typebox';
import type { Report } from '../../doctor/index.ts';

export const DoctorReport = Type.Object({
  isWell: Type.Boolean({ description: 'nothing is wrong, or is no longer' }),
  checks: Type.Array(
    Type.Object({
      name: Type.String({ description: 'what was looked at' }),
      findings: Type.Array(
        Type.Object({
          level: Type.String({ description: '`problem`, or `note`: nothing is wrong' }),
          problem: Type.String(),
          remedy: Type.String({ description: 'what the repair does, or what is to be done by hand' }),
          canMend: Type.Boolean({ description: 'the repair mends it' }),
          isMended: Type.Boolean(),
        }),
      ),
    }),
  ),
});

export function doctorReport(report: Report): Static<typeof DoctorReport> {
  const findings = report.flatMap(({ ailments }) => ailments);
  return {
    isWell: findings.every(({ isNote, isMended }) => isNote || isMended),
    checks: report.map(({ name, ailments }) => ({
      name,
      findings: ailments.map(({ isNote, ...told }) => ({ level: isNote ? 'note' : 'problem', ...told })),
    })),
  };
}
