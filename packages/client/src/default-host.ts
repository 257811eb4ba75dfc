/** The directory for a user's sockets: root's is the system's, others have one of their own. */
function socketDirectory(env: Readonly<Record<string, string | undefined>>, uid: number): string {
  if (uid === 0) return '/var/run';
  return env.XDG_RUNTIME_DIR || `/tmp/hyper-${uid}`;
}

/** Where a daemon listens, and a client looks for it, when nobody says otherwise: `unix:///…/hyper.sock`. */
export function defaultHost(env: Readonly<Record<string, string | undefined>>, uid: number): string {
  return `unix://${socketDirectory(env, uid)}/hyper.sock`;
}
