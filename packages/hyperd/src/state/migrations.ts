/** The schema, step by step; a step that has been released is never changed. Times are ms since the epoch. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

  -- machines/: a row is written before anything is spawned and deleted when nothing of the machine is left.
  CREATE TABLE machines (
    id TEXT PRIMARY KEY,
    owner TEXT,
    phase TEXT NOT NULL,            -- 'starting' until its agent has been configured, then 'running'
    pid INTEGER,
    pid_start_ticks INTEGER,        -- field 22 of /proc/PID/stat: tells a recycled pid
    vcpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disks TEXT NOT NULL DEFAULT '[]', -- JSON [{name, target}]
    created_at INTEGER NOT NULL
  ) STRICT;

  -- pods/
  CREATE TABLE pods (
    id TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,            -- JSON, pods/lifecycle.ts
    machine_id TEXT,
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    pod_id TEXT NOT NULL REFERENCES pods(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    image_id TEXT NOT NULL,
    run TEXT NOT NULL,              -- JSON, pods/run-spec.ts
    process_id INTEGER,             -- of its init in the machine, while it has one
    log_base TEXT NOT NULL,         -- JSON {stdout, stderr}: log offsets at which the current run began
    state TEXT NOT NULL,            -- JSON, pods/lifecycle.ts
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX containers_by_pod ON containers(pod_id);
  CREATE INDEX containers_by_image ON containers(image_id);

  -- images/
  CREATE TABLE images (
    id TEXT PRIMARY KEY,            -- digest of the configuration
    manifest_digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL     -- of the image, as its configuration says
  ) STRICT;
  CREATE TABLE image_names (
    name TEXT PRIMARY KEY,          -- canonical: docker.io/library/busybox:latest or docker.io/library/busybox@sha256:...
    image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
  ) STRICT;
  CREATE INDEX image_names_by_image ON image_names(image_id);
  `,
  `
  -- images/: derived files. A row says what its file must be; files without a row are removed.
  -- *_seen_as: boot, inode and times of the file when it last was compared with its digest.
  CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY,
    tar_bytes INTEGER NOT NULL,
    data_digest TEXT NOT NULL,
    data_bytes INTEGER NOT NULL,
    data_seen_as TEXT NOT NULL,
    index_digest TEXT NOT NULL,
    index_bytes INTEGER NOT NULL,
    index_seen_as TEXT NOT NULL
  ) STRICT;
  CREATE TABLE rootfs (
    chain_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    seen_as TEXT NOT NULL
  ) STRICT;
  -- Repositories that are known to have a blob: a push asks the registry to mount it from there.
  CREATE TABLE blob_sources (
    digest TEXT NOT NULL,
    registry TEXT NOT NULL,
    repository TEXT NOT NULL,
    PRIMARY KEY (digest, registry, repository)
  ) STRICT, WITHOUT ROWID;
  ALTER TABLE images ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'; -- JSON, as the configuration says
  `,
  `
  -- machines/: file servers are processes beside the machine's own.
  ALTER TABLE machines ADD COLUMN shares_memory INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE machines ADD COLUMN shares TEXT NOT NULL DEFAULT '[]'; -- JSON, machines/machine-records.ts
  -- volumes/: named ones. The directory of a row is made when it is missing; one that is 'removing' goes with the next start.
  CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    labels TEXT NOT NULL,           -- JSON object
    created_at INTEGER NOT NULL,
    removing INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  `,
  `
  -- build/: what steps have made. A row holds its layer; it is written when the layer is in the store.
  CREATE TABLE build_cache (
    key TEXT PRIMARY KEY,           -- of everything that the step depends on
    diff_id TEXT,                   -- NULL: it made nothing
    media_type TEXT,
    digest TEXT,
    blob_bytes INTEGER,
    created TEXT NOT NULL,          -- RFC 3339
    size_bytes INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- networks/: a row is written before a device is made and deleted when none is left. Ids are part of device names, and never used again.
  CREATE TABLE networks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    bridge TEXT NOT NULL UNIQUE,
    subnet TEXT NOT NULL,
    gateway TEXT NOT NULL,
    mtu INTEGER NOT NULL,
    labels TEXT NOT NULL,           -- JSON
    last_address TEXT NOT NULL,     -- that was chosen for a pod; the search for the next one goes on from it
    created_at INTEGER NOT NULL
  ) STRICT;
  -- What a pod has on a network, from its creation to its removal; written before the pod's own row.
  CREATE TABLE network_addresses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    network_id INTEGER NOT NULL REFERENCES networks(id),
    pod TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,
    mac TEXT NOT NULL,
    mtu INTEGER NOT NULL,
    UNIQUE (network_id, address)
  ) STRICT;
  `,
  `
  -- networks/: a pod can be on several networks: it has a network card for each.
  CREATE TABLE attachments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    network_id INTEGER NOT NULL REFERENCES networks(id),
    pod TEXT NOT NULL,
    card INTEGER NOT NULL,          -- 0: the one that its machines are made with; others are plugged in
    address TEXT NOT NULL,
    mac TEXT NOT NULL,
    mtu INTEGER NOT NULL,
    UNIQUE (network_id, address),
    UNIQUE (network_id, pod),
    UNIQUE (pod, card)
  ) STRICT;
  INSERT INTO sqlite_sequence (name, seq) SELECT 'attachments', seq FROM sqlite_sequence WHERE name = 'network_addresses';
  INSERT INTO attachments (id, network_id, pod, card, address, mac, mtu)
    SELECT id, network_id, pod, 0, address, mac, mtu FROM network_addresses;
  DROP TABLE network_addresses;
  `,
  `
  ALTER TABLE attachments ADD COLUMN access TEXT NOT NULL DEFAULT 'null'; -- JSON, networks/network.ts: who may connect to the pod
  `,
  `
  -- pods/: execs, from their creation until newer ones need their place, or their container goes.
  CREATE TABLE execs (
    id TEXT PRIMARY KEY,
    container_id TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
    command TEXT NOT NULL,          -- JSON
    tty INTEGER NOT NULL,
    process_id INTEGER,             -- in the machine, of its latest run; written before the machine is asked for it
    exit_code INTEGER,              -- of that run, once it has ended
    position INTEGER NOT NULL       -- in the order of creation
  ) STRICT;
  CREATE INDEX execs_by_container ON execs(container_id, position);
  `,
  `
  ALTER TABLE machines ADD COLUMN uid INTEGER; -- whom its process runs as; NULL: as the daemon
  CREATE UNIQUE INDEX machines_by_uid ON machines(uid) WHERE uid IS NOT NULL;
  ALTER TABLE machines ADD COLUMN cgroups TEXT NOT NULL DEFAULT '[]'; -- JSON: directories, from before they are made until they are gone
  `,
];
