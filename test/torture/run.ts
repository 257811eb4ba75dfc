// Kills the daemon at every fault point of every operation, and looks at what is left: npm run torture -- --help
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OPERATIONS } from './operations.ts';
import { type Finding, torture } from './torture.ts';

const HELP = `Usage: npm run torture -- [--only TEXT]... [--points N] [--error ENOSPC] [--point TEXT]
  --only TEXT     only operations whose name has the text; the short soak at the end is left out then
  --points N      only every N-th point
  --point TEXT    only points that have the text
  --error CODE    the point's action fails with this system error, in place of the daemon's death
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    points: { type: 'string', default: '1' },
    point: { type: 'string', default: '' },
    error: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const step = Number(values.points);
  const isRoot = process.getuid?.() === 0;
  const findings: Finding[] = [];
  for (const operation of OPERATIONS) {
    if (values.only && !values.only.some((text) => operation.name.includes(text))) continue;
    if (operation.needsBridges && !isRoot) {
      console.log(`${operation.name}: left out, it needs root`);
      continue;
    }
    findings.push(
      ...(await torture([operation], {
        choose: (points) =>
          points.filter((point, index) => index % step === 0 && point.includes(values.point)),
        ...(values.error !== undefined && { error: values.error }),
        report: (line) => console.log(line),
      })),
    );
  }
  if (!values.only) {
    const soak = [join(import.meta.dirname, 'soak.ts'), '--pods', '40', '--minutes', '1'];
    const { status } = spawnSync(process.execPath, soak, { stdio: 'inherit' });
    if (status !== 0)
      findings.push({ operation: 'soak', point: '(short)', what: `it ended with ${status}; see above` });
  }
  for (const { operation, point, what } of findings) console.log(`\nFOUND ${operation}, ${point}: ${what}`);
  console.log(`\n${findings.length} findings`);
  if (findings.length > 0) process.exitCode = 1;
}
