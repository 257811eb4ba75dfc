// What `npm run bench` does: hyperd, dockerd and the floor side by side in one run, interleaved; see docs/performance.md.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../scripts/steps.mjs';
import * as build from './build.mjs';
import * as floor from './floor.mjs';
import * as images from './images.mjs';
import * as kernel from './kernel.mjs';
import * as many from './many.mjs';
import { measure } from './measure.mjs';
import { help, optionsOf } from './options.mjs';
import { pageOf } from './page.mjs';
import * as pods from './pods.mjs';
import * as ports from './ports.mjs';
import * as start from './start.mjs';
import { withSurroundings } from './surroundings.mjs';
import { tableOf } from './table.mjs';
import * as volumes from './volumes.mjs';

const GROUPS = [floor, start, pods, many, kernel, build, images, volumes, ports];

async function main(args) {
  const options = optionsOf(args, GROUPS);
  if (options.help) {
    process.stdout.write(help(GROUPS));
    return;
  }
  if (process.getuid() !== 0) throw new Error('the peer, dockerd, needs root; run the benchmark as root');
  await bench(options);
}

async function bench(options) {
  const ended = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => ended.abort(new Error(signal)));
  await withSurroundings(options, async (surroundings) => {
    const results = [];
    try {
      for (const { group, includes } of options.wanted)
        await measureGroup(group, { includes, results, surroundings, signal: ended.signal });
    } finally {
      if (results.some(({ cases }) => cases.length > 0))
        tell(reportOf(results, surroundings), options.output);
    }
  });
}

/** Adds its results as they come, and says how far it is. */
async function measureGroup(group, { includes, results, surroundings, signal }) {
  const cases = [];
  results.push({ group: group.name, cases });
  console.log(`${group.name}: ${group.summary}`);
  for await (const benchmark of group.cases(surroundings)) {
    signal.throwIfAborted();
    if (!includes(benchmark.title)) continue;
    const result = await measure(benchmark, surroundings.options, signal, progressOf(benchmark.title));
    cases.push(result);
  }
}

/** On a terminal the last line says how far a case is; elsewhere only that it has begun. */
function progressOf(title) {
  const { stderr } = process;
  let begun = false;
  return (where) => {
    if (stderr.isTTY) stderr.write(`\r\x1b[K  ${title}: ${where}\r`);
    else if (!begun) stderr.write(`  ${title}\n`);
    begun = true;
  };
}

function reportOf(groups, { dockerVersion, options }) {
  const { model } = cpus()[0] ?? {};
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'packages/hyperd/package.json'), 'utf8'));
  const revision = spawnSync('git', ['describe', '--always', '--dirty'], {
    cwd: REPOSITORY,
    encoding: 'utf8',
  });
  return {
    date: new Date().toISOString(),
    host: `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    hyperd: `${version} (${revision.stdout?.trim() || 'no git'})`,
    ...{ peer: `dockerd ${dockerVersion}`, kernel: options.ownGuest ? options.kernel : 'the default' },
    ...{ rounds: options.rounds, warmUp: options.warmUp, note: options.note, groups },
  };
}

function tell(report, output) {
  mkdirSync(output, { recursive: true });
  writeFileSync(join(output, 'results.json'), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(output, 'report.html'), pageOf(report));
  console.log(`\n${report.host}; ${report.peer}; ${report.rounds} rounds\n\n${tableOf(report.groups)}\n`);
  console.log(`results.json and report.html are in ${output}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error.message}${process.env.DEBUG ? `\n${error.stack}` : ''}`);
  process.exitCode = 1;
}
