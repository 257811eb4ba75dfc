// Makes build/client-package: @hyperd/client as other programs install it, plain JavaScript with type declarations.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, isMain, REPOSITORY } from './steps.mjs';

const SOURCE = join(REPOSITORY, 'packages/client');

/** Compiles into `directory`, which is replaced. */
export function makeClientPackage(directory) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const settings = join(directory, 'tsconfig.json');
  writeFileSync(
    settings,
    JSON.stringify({
      extends: join(REPOSITORY, 'tsconfig.json'),
      compilerOptions: {
        ...{ noEmit: false, declaration: true, target: 'es2022', rootDir: join(SOURCE, 'src') },
        ...{
          outDir: join(directory, 'dist'),
          rewriteRelativeImportExtensions: true,
          allowImportingTsExtensions: false,
        },
        ...{ typeRoots: [join(REPOSITORY, 'node_modules/@types')] },
      },
      files: [join(SOURCE, 'src/index.ts')],
      include: [],
    }),
  );
  execFileSync(process.execPath, [join(REPOSITORY, 'node_modules/typescript/bin/tsc'), '-p', settings], {
    stdio: 'inherit',
  });
  rmSync(settings);
  const { name, version, description, license } = JSON.parse(
    readFileSync(join(SOURCE, 'package.json'), 'utf8'),
  );
  writeFileSync(
    join(directory, 'package.json'),
    `${JSON.stringify(
      {
        ...{ name, version, description, license, type: 'module', engines: { node: '>=20.16' } },
        exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
        files: ['dist'],
        peerDependencies: { '@types/node': '*' },
        peerDependenciesMeta: { '@types/node': { optional: true } },
      },
      undefined,
      2,
    )}\n`,
  );
  copyFileSync(join(SOURCE, 'README.md'), join(directory, 'README.md'));
  copyFileSync(join(REPOSITORY, 'LICENSE'), join(directory, 'LICENSE'));
}

if (isMain(import.meta.url)) makeClientPackage(join(BUILD, 'client-package'));
