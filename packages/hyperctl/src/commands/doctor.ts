import type { DoctorFinding } from '@hyperd/client';
import type { Command } from '../command.ts';

export const command: Command = {
  name: 'doctor',
  operands: '',
  summary: 'Look for what of hyperd is out of joint on its host, and with --fix mend it',
  details: `Processes, machine and pod directories, devices and temporary files that belong to nobody, images that lack a part, the database, free space,
KVM, missing programs. Works beside running pods, and may be repeated. Ends with 0 where nothing is wrong (or no longer), else with 1.`,
  options: [
    { name: 'fix', help: 'mend what can be mended' },
    { name: 'verify', help: 'read every byte of every image, and compare it with its digest' },
  ],
  operandCount: [0, 0],
  async run({ client, options, terminal }) {
    const mend = options.flag('fix');
    const { isWell, checks } = await client.doctor({ verify: options.flag('verify'), mend });
    for (const { name, findings } of checks) {
      const problems = findings.filter(({ level }) => level === 'problem').length;
      terminal.stdout.write(`${name.padEnd(16)}${problems === 0 ? 'ok' : `${problems} wrong`}\n`);
      for (const finding of findings) terminal.stdout.write(textOf(finding, mend));
    }
    return isWell ? 0 : 1;
  },
};

function textOf({ level, problem, remedy, canMend, isMended }: DoctorFinding, mend: boolean): string {
  const mark = isMended ? 'mended' : level === 'note' ? 'note' : 'wrong';
  const what = canMend && !mend ? `--fix: ${remedy}` : remedy;
  return `  ${mark}: ${problem}\n    ${what}\n`;
}
