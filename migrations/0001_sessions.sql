-- Users, the index of sessions, and their members. Ids are UUIDs; times are Unix milliseconds.
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL REFERENCES users (id),
  name TEXT NOT NULL,
  assistant TEXT NOT NULL,
  workspace TEXT NOT NULL DEFAULT 'main',
  created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
  session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  user TEXT NOT NULL REFERENCES users (id),
  role TEXT NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
  PRIMARY KEY (session, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user);

-- One-time links that were used; the primary key makes the second use fail.
CREATE TABLE used_links (
  nonce TEXT PRIMARY KEY,
  used_ms INTEGER NOT NULL
) STRICT;
