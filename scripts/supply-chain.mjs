// What hyperd is made of. `npm run sbom` prints a bill of materials (CycloneDX 1.5, JSON); `--check` (in `npm run lint`) refuses what a release must not have.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_PACKAGES } from './packages.mjs';
import { BUILD, isMain, REPOSITORY } from './steps.mjs';

/** Licences of what is shipped, as SPDX has them. */
const LICENCES = [
  ...['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0', 'Unlicense'],
  '(Apache-2.0 AND BSD-3-Clause)',
];
/** Debian's sources of what is compiled into the guest and unpacked for it. */
const GUEST_PACKAGES = ['musl-tools', 'libnanopb-dev', 'busybox-static'];

/** The npm packages that a lockfile brings into a release, by path. */
function shipped(lock) {
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path.includes('node_modules/') && !entry.dev && !entry.link)
    .map(([path, entry]) => ({ ...entry, path, name: entry.name ?? path.split('node_modules/').at(-1) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What is wrong with a lockfile, a sentence each. */
export function faultsOf(lock) {
  const everything = Object.entries(lock.packages).filter(([path, { link }]) => path !== '' && !link);
  const faults = everything.flatMap(([path, { resolved, integrity }]) => {
    if (resolved !== undefined) return [`${path}: the lockfile names a registry`];
    return path.includes('node_modules/') && integrity === undefined ? [`${path}: no digest`] : [];
  });
  for (const { path, license } of shipped(lock))
    if (!LICENCES.includes(license))
      faults.push(`${path}: licence ${license ?? 'unknown'}; want ${LICENCES.join(', ')}`);
  return faults;
}

/** The bill of materials: the same for the same lockfile and Debian packages. */
export function billOfMaterials(lock, debian) {
  const npm = shipped(lock).map(({ name, version, license, integrity }) => ({
    ...{ type: 'library', name, version, purl: `pkg:npm/${name.replace('@', '%40')}@${version}` },
    licenses: [license.includes(' ') ? { expression: license } : { license: { id: license } }],
    hashes: [
      { alg: 'SHA-512', content: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex') },
    ],
  }));
  const system = debian.map(({ name, version }) => ({
    ...{ type: 'library', name, version, purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}` },
  }));
  const { version } = lock;
  return {
    ...{
      $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
      bomFormat: 'CycloneDX',
      specVersion: '1.5',
    },
    version: 1,
    metadata: { component: { type: 'application', name: 'hyperd', version } },
    components: [...npm, ...system],
  };
}

function debianPackages() {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholders
  const format = '${Package} ${Version}\n';
  const names = [...RUN_PACKAGES, ...GUEST_PACKAGES];
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', format, ...names], { encoding: 'utf8' });
  const kernel = join(BUILD, 'cache/kernel/PACKAGE');
  const lines = [
    ...stdout.trim().split('\n'),
    ...(existsSync(kernel) ? [readFileSync(kernel, 'utf8').trim()] : []),
  ];
  return lines.map((line) => line.split(/[\s_]+/)).map(([name, version]) => ({ name, version }));
}

if (isMain(import.meta.url)) {
  const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8'));
  if (process.argv.includes('--check')) {
    const faults = faultsOf(lock);
    for (const fault of faults) console.error(`package-lock.json: ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
  } else process.stdout.write(`${JSON.stringify(billOfMaterials(lock, debianPackages()), undefined, 2)}\n`);
}
