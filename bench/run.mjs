// `npm run bench [-- CASE...]`: hyperd and dockerd side by side in one run, interleaved; medians and their ratio.
import { cpus } from 'node:os';
import { ensurePackages } from '../scripts/packages.mjs';
import { setUp } from '../scripts/setup.mjs';
import * as build from './build.mjs';
import * as images from './images.mjs';
import * as pods from './pods.mjs';
import { median } from './processes.mjs';
import * as start from './start.mjs';
import { withSurroundings } from './surroundings.mjs';
import * as volumes from './volumes.mjs';

const PEER_PACKAGES = ['docker.io', 'iptables', 'mmdebstrap', 'skopeo', 'docker-registry'];
const ROUNDS = Number(process.env.ROUNDS ?? 7);
const GROUPS = [start, pods, build, images, volumes];

function wanted(names) {
  const unknown = names.find((name) => !GROUPS.some((group) => group.name === name));
  if (unknown)
    throw new Error(`no benchmark "${unknown}"; there are ${GROUPS.map(({ name }) => name).join(', ')}`);
  return names.length === 0 ? GROUPS : GROUPS.filter(({ name }) => names.includes(name));
}

/** One warm-up of each, then rounds of one after the other. */
async function measure({ ours, peer, before = {}, figure }) {
  const figures = { ours: [], peer: [] };
  for (let round = -1; round < ROUNDS; round++) {
    for (const [who, run] of [
      ['peer', peer],
      ['ours', ours],
    ]) {
      if (!run) continue; // there is nothing to compare with
      await before[who]?.();
      const value = figure(await run());
      if (round >= 0) figures[who].push(value);
    }
  }
  return { ours: median(figures.ours), peer: peer && median(figures.peer) };
}

async function main() {
  const groups = wanted(process.argv.slice(2));
  if (process.getuid() !== 0) throw new Error('the peer, dockerd, needs root; run the benchmark as root');
  await setUp();
  ensurePackages(PEER_PACKAGES);
  await withSurroundings(async (surroundings) => {
    const rows = [];
    for (const group of groups) {
      for await (const benchmark of group.cases(surroundings)) {
        const result = await measure(benchmark);
        rows.push({ title: benchmark.title, ...result });
        const { ours, peer } = result;
        console.log(
          `${benchmark.title}: ${ours.toFixed(0)} ms${peer ? `, docker ${peer.toFixed(0)} ms` : ''}`,
        );
      }
    }
    const { model } = cpus()[0] ?? {};
    console.log(
      `\n${cpus().length} × ${model}; dockerd ${surroundings.dockerVersion}; ${ROUNDS} rounds, medians in ms\n`,
    );
    console.log(
      `${'case'.padEnd(44)}${'hyperd'.padStart(10)}${'docker'.padStart(10)}${'ratio'.padStart(10)}`,
    );
    for (const { title, ours, peer } of rows) {
      const compared = peer ? [peer.toFixed(0), (ours / peer).toFixed(2)] : [];
      const cells = [ours.toFixed(0), ...compared].map((cell) => cell.padStart(10));
      console.log(`${title.padEnd(44)}${cells.join('')}`);
    }
  });
}

await main();
