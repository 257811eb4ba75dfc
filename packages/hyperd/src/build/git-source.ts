import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { HyperError } from '../errors.ts';
import type { ImageAssembly } from '../images/assembly/assembly.ts';
import { emptyRoot, type TreeNode } from '../images/layers/tree.ts';
import { TAR_END, tarHeader, tarPadding } from '../tar/tar-writer.ts';
import { Git } from './git-command.ts';

/** Submodules of one repository, those of submodules among them. */
const MAX_SUBMODULES = 256;
const MAX_DEPTH = 8;

export interface GitSource {
  readonly url: string;
  /** Branch, tag or commit; empty: the remote's HEAD. */
  readonly ref: string;
  readonly subdirectory: string;
}

export interface GitPlace {
  readonly assembly: ImageAssembly;
  /** Where repositories may be fetched to. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** `https://HOST/REPO.git#REF:DIR`, `git://…`, `git@HOST:REPO…`, `ssh://…`; undefined: it is no address of a git repository. */
export function parseGitSource(text: string): GitSource | undefined {
  const [address = '', fragment = ''] = text.split('#', 2);
  const isGit =
    /^(?:git|ssh):\/\//.test(address) ||
    /^[\w.-]+@[\w.-]+:/.test(address) ||
    /^https?:\/\/[^?]*\.git(?:\?|$)/.test(address);
  if (!isGit && !/^github\.com\//.test(address)) return undefined;
  const [ref = '', ...rest] = fragment.split(':');
  return { url: isGit ? address : `https://${address}`, ref, subdirectory: rest.join(':') };
}

/**
 * A commit's files, those of its submodules among them, as they are committed: nothing is checked out. `keepGitDirectory`: with `.git`, in which the commit is
 * HEAD. Throws `unavailable`, `unsupported`, `invalid-argument`, `limit`, `canceled`.
 */
export async function takeGit(
  source: GitSource,
  { assembly, directory, signal }: GitPlace,
  { keepGitDirectory = false }: { readonly keepGitDirectory?: boolean } = {},
): Promise<TreeNode> {
  const place = join(directory, `git-${randomUUID()}`);
  const root = emptyRoot();
  try {
    for await (const tar of new GitFetch(place, signal).tars(source, keepGitDirectory)) {
      const diffId = await assembly.takeContents(tar, `git ${source.url}`);
      await assembly.apply(root, diffId, { plain: true });
    }
    return root;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

class GitFetch {
  readonly #place: string;
  readonly #signal: AbortSignal;
  #count = 0;

  constructor(place: string, signal: AbortSignal) {
    this.#place = place;
    this.#signal = signal;
  }

  /** Each lies over those before. */
  async *tars(source: GitSource, keepGitDirectory: boolean): AsyncGenerator<AsyncIterable<Buffer>> {
    const git = await this.#fetch(source);
    yield* this.#filesOf(git, source, '', 0);
    if (keepGitDirectory) yield gitDirectoryTar(await asWorkRepository(git, source.url));
  }

  async #fetch({ url, ref, subdirectory }: GitSource): Promise<Git> {
    if (/^-/.test(url) || /^-/.test(ref) || subdirectory.split('/').includes('..'))
      throw new HyperError(
        'invalid-argument',
        `fetch "${url}#${ref}:${subdirectory}": it is not an address of a repository`,
      );
    const repository = join(this.#place, `${this.#count}`);
    await mkdir(repository, { recursive: true, mode: 0o700 });
    const git = new Git(repository, this.#signal);
    await git.run('init', '--quiet', '--bare', '--template=', '.');
    await mkdir(join(repository, 'info'), { recursive: true });
    await writeFile(join(repository, 'info/attributes'), '* -export-ignore -export-subst\n');
    await git.run('fetch', '--quiet', '--depth=1', '--no-tags', '--', url, ref || 'HEAD');
    return git;
  }

  /** `below`: where in the tree, empty or ending in a slash. */
  async *#filesOf(
    git: Git,
    { url, subdirectory }: GitSource,
    below: string,
    depth: number,
  ): AsyncGenerator<AsyncIterable<Buffer>> {
    const start = subdirectory.replace(/^\/+|\/+$/g, '');
    const tree = start === '' ? 'FETCH_HEAD' : `FETCH_HEAD:${start}`;
    yield git.output(
      '-c',
      'tar.umask=0022',
      'archive',
      '--format=tar',
      ...(below ? [`--prefix=${below}`] : []),
      tree,
    );
    for (const { path, commit } of await submodulesOf(git, tree)) {
      const address = await urlOf(git, posix.join(start, path), url);
      if (address === undefined) continue; // git leaves it empty, too
      if (depth >= MAX_DEPTH || ++this.#count > MAX_SUBMODULES)
        throw new HyperError(
          'limit',
          `fetch ${url}: more than ${MAX_SUBMODULES} submodules, or ${MAX_DEPTH} in each other`,
        );
      const source = { url: address, ref: commit, subdirectory: '' };
      yield* this.#filesOf(await this.#fetch(source), source, `${below}${path}/`, depth + 1);
    }
  }
}

async function submodulesOf(
  git: Git,
  tree: string,
): Promise<{ readonly path: string; readonly commit: string }[]> {
  const entries = (await git.text('ls-tree', '-r', '-z', tree)).split('\0');
  return entries.flatMap((entry) => {
    const [, commit, path] = /^160000 commit ([0-9a-f]{40,64})\t(.+)$/s.exec(entry) ?? [];
    return commit && path ? [{ path, commit }] : [];
  });
}

/** Where the submodule at `path` comes from, as `.gitmodules` of the commit tells; undefined: it does not. */
async function urlOf(git: Git, path: string, parent: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await git.text('config', '--blob', 'FETCH_HEAD:.gitmodules', '-z', '--list');
  } catch (error) {
    if (error instanceof HyperError && error.code === 'unavailable') return undefined; // there is no such file
    throw error;
  }
  const values = new Map(text.split('\0').map((line) => line.split(/\n(.*)/s, 2) as [string, string]));
  const key = [...values].find(([name, value]) => value === path && /^submodule\..*\.path$/s.test(name))?.[0];
  const url = key && values.get(`${key.slice(0, -'.path'.length)}.url`);
  if (!url) return undefined;
  const address = /^\.\.?\//.test(url) ? relativeTo(parent, url) : url;
  if (/^(?:https?|git|ssh):\/\/|^[\w.-]+@[\w.-]+:/.test(address)) return address;
  throw new HyperError(
    'invalid-argument',
    `fetch submodule "${path}": "${address}" is no address of a repository`,
  );
}

/** `../OTHER.git` of a repository, as git reads it. */
function relativeTo(parent: string, url: string): string {
  const [, start = '', path = ''] = /^([a-z]+:\/\/[^/]*|[^/:]+:)(.*)$/s.exec(parent) ?? [];
  const joined = posix.normalize(`/${path}/${url}`);
  return start.includes('://')
    ? `${start}${joined}`
    : `${start}${path.startsWith('/') ? joined : joined.slice(1)}`;
}

/** The repository as the `.git` of a directory that has its commit checked out; what only this host used is gone. */
async function asWorkRepository(git: Git, url: string): Promise<string> {
  await git.run('update-ref', '--no-deref', 'HEAD', 'FETCH_HEAD^{commit}');
  await git.run('read-tree', 'HEAD');
  await git.run('config', 'core.bare', 'false');
  await git.run('config', 'remote.origin.url', url.replace(/^([a-z]+:\/\/)[^/@]*@/, '$1'));
  await git.run('config', 'remote.origin.fetch', '+refs/heads/*:refs/remotes/origin/*');
  for (const name of ['FETCH_HEAD', 'info/attributes']) await rm(join(git.directory, name), { force: true });
  return git.directory;
}

/** A repository's directories and files, in the order of their names. */
async function* gitDirectoryTar(directory: string): AsyncGenerator<Buffer> {
  yield header('.git/', 'directory', 0o755, 0);
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => ({ entry, path: join(entry.parentPath, entry.name) }));
  paths.sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const { entry, path } of paths) {
    const name = `.git/${path.slice(directory.length + 1)}`;
    if (entry.isDirectory()) yield header(`${name}/`, 'directory', 0o755, 0);
    if (!entry.isFile()) continue;
    const { size } = await stat(path);
    yield header(name, 'file', 0o644, size);
    if (size > 0) yield* createReadStream(path, { end: size - 1 }) as AsyncIterable<Buffer>;
    yield tarPadding(size);
  }
  yield TAR_END;
}

function header(name: string, type: 'file' | 'directory', mode: number, sizeBytes: number): Buffer {
  return tarHeader({
    ...{
      name: Buffer.from(name).toString('latin1'),
      type,
      mode,
      uid: 0,
      gid: 0,
      sizeBytes,
      mtime: 0,
      linkName: '',
    },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
  });
}
