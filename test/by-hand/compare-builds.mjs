// `node test/by-hand/compare-builds.mjs [NAME...]`: builds the same Dockerfiles with hyperd and with docker (BuildKit), and tells
// where file trees or configurations differ. Needs root and Debian's docker.io.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startDaemon, stopDaemon } from '../../bench/processes.mjs';
import { REPOSITORY } from '../../scripts/steps.mjs';
import { CONTEXT, DOCKERFILES } from './dockerfiles.mjs';

const HYPERCTL = join(REPOSITORY, 'bin/hyperctl');
const directory = mkdtempSync(join(tmpdir(), 'hycompare-'));
const docker = { ...process.env, DOCKER_HOST: `unix://${directory}/docker.sock` };
const hyper = { ...process.env, HYPER_HOST: `unix://${directory}/hyper.sock` };
const quiet = { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', maxBuffer: 1 << 28 };

function makeContext(path, files) {
  for (const [name, file] of Object.entries(files)) {
    const {
      text = '',
      mode = name.endsWith('/') ? 0o755 : 0o644,
      link,
    } = typeof file === 'string' ? { text: file } : file;
    const target = join(path, name);
    mkdirSync(dirname(target), { recursive: true });
    if (link) symlinkSync(link, target);
    else if (name.endsWith('/')) mkdirSync(target, { recursive: true, mode });
    else writeFileSync(target, text, { mode });
    if (!link) execFileSync('chmod', [mode.toString(8), target]);
    if (!link && !name.endsWith('/')) utimesSync(target, 1_600_000_000, 1_600_000_000);
  }
}

function makeArchives(path) {
  const source = join(directory, 'archive');
  rmSync(source, { recursive: true, force: true });
  makeContext(source, {
    'd/': { mode: 0o755 },
    'd/x': 'x\n',
    f: { mode: 0o640, text: 'f\n' },
    l: { link: 'f' },
  });
  const tar = (flag, name) =>
    execFileSync('tar', [
      `-c${flag}f`,
      join(path, name),
      '--owner=11',
      '--group=12',
      '--numeric-owner',
      '-C',
      source,
      'd',
      'f',
      'l',
    ]);
  for (const [flag, name] of [
    ['', 'a.tar'],
    ['z', 'a.tar.gz'],
    ['j', 'a.tar.bz2'],
    ['J', 'a.tar.xz'],
  ])
    tar(flag, name);
  execFileSync('python3', ['-c', ODD_TAR, join(path, 'odd.tar')]);
  execFileSync('sh', ['-c', `gzip -nc < '${path}/a.txt' > '${path}/a.txt.gz'`]);
}

/** An archive with what few have: names like whiteouts, links up and out, the same name twice, missing parents, attributes. */
const ODD_TAR = `
import io, sys, tarfile
tar = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
def add(name, kind=tarfile.REGTYPE, data=b'', **more):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime, info.mode = kind, len(data), 1500000000, 0o644
    for key, value in more.items(): setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))
add('.wh.gone', data=b'w'); add('./dot/./slash//f', data=b'd'); add('twice', data=b'1'); add('twice', data=b'2')
add('setuid', data=b's', mode=0o6755, uid=5, gid=6); add('sticky', tarfile.DIRTYPE, mode=0o1777)
add('late/dir/f', data=b'f'); add('late/dir', tarfile.DIRTYPE, mode=0o711, uid=3); add('late', tarfile.DIRTYPE, mode=0o700, gid=4)
add('hard', tarfile.LNKTYPE, linkname='twice'); add('out', tarfile.SYMTYPE, linkname='/etc/passwd'); add('up', tarfile.SYMTYPE, linkname='../../x')
add('pipe', tarfile.FIFOTYPE); add('long/' + 'n' * 120, data=b'l'); add('frac', data=b'', mtime=1500000000.75)
add('xattr', data=b'x', pax_headers={'SCHILY.xattr.user.k': 'v'})
tar.close()
`;

/** The merged tree of an archive's image, a line an entry, and its configuration. */
const LISTER = `
import hashlib, json, sys, tarfile
archive = tarfile.open(sys.argv[1])
[manifest] = json.load(archive.extractfile('manifest.json'))
config = json.load(archive.extractfile(manifest['Config']))
tree = {}
def gone(path):
    for other in [p for p in tree if p == path or p.startswith(path + '/')]: del tree[other]
for name in manifest['Layers']:
    layer = tarfile.open(fileobj=archive.extractfile(name))
    members = [(m, m.name.strip('/').removeprefix('./')) for m in layer]
    for m, path in members:
        base = path.rsplit('/', 1)[-1]
        if base == '.wh..wh..opq':
            up = path.rsplit('/', 1)[0]
            for other in [p for p in tree if p.startswith(up + '/')]: del tree[other]
        elif base.startswith('.wh.'): gone(path[:-len(base)] + base[4:])
    for m, path in members:
        base = path.rsplit('/', 1)[-1]
        if base.startswith('.wh.') or path in ('', '.'): continue
        if m.islnk():
            tree[path] = tree[m.linkname.strip('/').removeprefix('./')]
            continue
        if not m.isdir(): gone(path)
        content = hashlib.sha256(layer.extractfile(m).read()).hexdigest()[:12] if m.isfile() else m.linkname
        kind = {b'0': 'f', b'5': 'd', b'2': 'l', b'6': 'p', b'3': 'c', b'4': 'b'}.get(m.type, '?')
        time = m.mtime if m.isfile() and m.mtime < 1700000000 else '-'
        tree[path] = [kind, oct(m.mode & 0o7777) if kind != 'l' else '', m.uid, m.gid, content, time]
groups = {}
for path in sorted(tree): groups.setdefault(id(tree[path]), path)
c = config.get('config') or {}
keys = ['User','Env','Cmd','Entrypoint','WorkingDir','Labels','ExposedPorts','Volumes','StopSignal','OnBuild','Shell','Healthcheck']
out = {'tree': [' '.join(map(str, [path] + tree[path] + ([ '= ' + groups[id(tree[path])]] if groups[id(tree[path])] != path else []))) for path in sorted(tree)],
       'config': {k: c[k] for k in keys if c.get(k)}}
out['history'] = [h.get('created_by', '') for h in config.get('history', [])]
json.dump(out, sys.stdout)
`;

function looked(archive) {
  return JSON.parse(execFileSync('python3', ['-c', LISTER, archive], quiet));
}

/** Debian's docker has no buildx: its daemon's BuildKit is asked directly, with the context as the body. Ignore files are read by docker's client. */
function buildWithDocker(path, tag) {
  if (existsSync(join(path, '.dockerignore'))) {
    execFileSync('docker', ['build', '-q', '-t', tag, path], {
      ...quiet,
      env: { ...docker, DOCKER_BUILDKIT: '0' },
    });
    return;
  }
  const context = join(directory, 'context.tar');
  execFileSync('tar', ['-cf', context, '--owner=0', '--group=0', '-C', path, '.']);
  const socket = docker.DOCKER_HOST.slice('unix://'.length);
  const url = `http://docker/build?version=2&t=${tag}`;
  const said = execFileSync(
    'curl',
    [
      '-sS',
      '--unix-socket',
      socket,
      '-H',
      'Content-Type: application/x-tar',
      '--data-binary',
      `@${context}`,
      url,
    ],
    quiet,
  );
  const error = said.split('\n').find((line) => line.includes('"error"') || line.startsWith('{"message"'));
  if (error) throw new Error(error);
}

function built(who, path, name) {
  const tag = `compare-${name}`;
  const archive = join(directory, 'image.tar');
  try {
    if (who === 'docker') buildWithDocker(path, tag);
    else execFileSync(HYPERCTL, ['build', '-q', '-t', tag, path], { ...quiet, env: hyper });
    const [command, env] = who === 'docker' ? ['docker', docker] : [HYPERCTL, hyper];
    execFileSync(command, ['save', '-o', archive, tag], { ...quiet, env });
    return looked(archive);
  } catch (error) {
    return {
      error: String(error.stderr || error)
        .trim()
        .split('\n')
        .slice(-3)
        .join(' | '),
    };
  }
}

/** With its keys in order. */
function ordered(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, ordered(value[key])]),
  );
}

/** What a docker says that is too old for a Dockerfile. */
const TOO_OLD = /unknown flag|unknown instruction|missing ':' in substitution/i;

function difference(ours, theirs) {
  if (ours.error || theirs.error)
    return ours.error && theirs.error
      ? []
      : [`hyperd: ${ours.error ?? 'built'}`, `docker: ${theirs.error ?? 'built'}`];
  const lines = [];
  for (const line of ours.tree) if (!theirs.tree.includes(line)) lines.push(`+ ${line}`);
  for (const line of theirs.tree) if (!ours.tree.includes(line)) lines.push(`- ${line}`);
  const [a, b] = [ours.config, theirs.config].map((config) => JSON.stringify(ordered(config)));
  if (a !== b) lines.push(`+ ${a}`, `- ${b}`);
  if (process.env.HISTORY && JSON.stringify(ours.history) !== JSON.stringify(theirs.history))
    lines.push(...ours.history.map((line) => `+ ${line}`), ...theirs.history.map((line) => `- ${line}`));
  return lines;
}

const children = [];
try {
  const place = (name) => join(directory, name);
  const ping = (command, args, env) => () => execFileSync(command, args, { ...quiet, env });
  children.push(
    (
      await startDaemon(
        'dockerd',
        [
          '--data-root',
          place('d'),
          '--exec-root',
          place('x'),
          '--pidfile',
          place('p'),
          '-H',
          docker.DOCKER_HOST,
        ],
        place('dockerd.log'),
        ping('docker', ['version'], docker),
      )
    ).child,
    (
      await startDaemon(
        join(REPOSITORY, 'bin/hyperd'),
        ['--root', place('h'), '--host', hyper.HYPER_HOST],
        place('hyperd.log'),
        ping(HYPERCTL, ['info'], hyper),
      )
    ).child,
  );
  const busybox = place('busybox.tar');
  execFileSync(HYPERCTL, ['save', '-o', busybox, 'busybox'], { ...quiet, env: hyper });
  execFileSync('docker', ['load', '-i', busybox], { ...quiet, env: docker });
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(DOCKERFILES);
  let differing = 0;
  for (const name of names) {
    const {
      lines,
      text = `FROM busybox\n${(lines ?? DOCKERFILES[name]).join?.('\n')}\n`,
      ...files
    } = Array.isArray(DOCKERFILES[name]) ? { lines: DOCKERFILES[name] } : DOCKERFILES[name];
    const path = place('context');
    rmSync(path, { recursive: true, force: true });
    makeContext(path, { ...CONTEXT, ...files, Dockerfile: text });
    makeArchives(path);
    const [ours, theirs] = [built('hyperd', path, name), built('docker', path, name)];
    if (TOO_OLD.test(theirs.error ?? '')) {
      console.log(`no peer ${name} (hyperd: ${ours.error ?? 'built'})`);
      continue;
    }
    const found = difference(ours, theirs);
    console.log(
      `${found.length === 0 ? 'same   ' : 'DIFFERS'} ${name}${found.map((line) => `\n    ${line}`).join('')}`,
    );
    if (found.length > 0) differing++;
  }
  console.log(`${names.length} Dockerfiles, ${differing} differ (+ hyperd, - docker)`);
} finally {
  for (const child of children.reverse()) await stopDaemon(child);
  rmSync(directory, { recursive: true, force: true });
}
