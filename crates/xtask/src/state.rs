//! What `dev` keeps between runs: keys, the local user, and which runtime wrote the rest.

use anyhow::{Context, Result, bail};
use berth_core::local_sign_in::{self, KEY_BYTES, Purpose};
use berth_protocol::limits::LOCAL_LINK_MS_MAX;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// A state folder.
pub(crate) struct State {
    folder: PathBuf,
    stored: Stored,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// The workerd version that last wrote the folder; an older one would crash on it.
    runtime: String,
    /// 64 hexadecimal characters; signs links and cookies.
    key: String,
    /// The local user.
    user: Uuid,
}

impl State {
    /// Opens or makes a state folder, readable by this user only.
    pub(crate) fn open(folder: &Path, runtime: &str, fresh: bool) -> Result<Self> {
        if fresh && folder.join("state.json").exists() {
            fs::remove_dir_all(folder).with_context(|| format!("forget {}", folder.display()))?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = folder.canonicalize()?;
        let file = folder.join("state.json");
        let mut stored = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; start over with --fresh", file.display()))?,
            Err(_) => {
                let random = || Uuid::new_v4().simple().to_string();
                Stored { runtime: runtime.to_owned(), key: random() + &random(), user: Uuid::new_v4() }
            }
        };
        if version(&stored.runtime) > version(runtime) {
            bail!(
                "{} was written by workerd {}, this is {runtime}, which could not read it; run the newer Berth, or start over with --fresh",
                folder.display(),
                stored.runtime
            );
        }
        stored.runtime = runtime.to_owned();
        let state = Self { folder, stored };
        write_private(&file, &serde_json::to_string_pretty(&state.stored)?)?;
        Ok(state)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the Worker's variables to a private file: secrets are never on a command line.
    pub(crate) fn write_variables(&self, origin: &str, unisolated: bool) -> Result<PathBuf> {
        let Stored { key, user, .. } = &self.stored;
        let mut text = format!("BERTH_LOCAL_ORIGIN={origin}\nBERTH_LOCAL_KEY={key}\nBERTH_LOCAL_USER={user}\n");
        if unisolated {
            text.push_str("BERTH_UNISOLATED=1\n");
        }
        let file = self.folder.join("worker.env");
        write_private(&file, &text)?;
        Ok(file)
    }

    /// A new one-time link.
    pub(crate) fn link(&self, origin: &str) -> Result<String> {
        let nonce = Uuid::new_v4().simple().to_string();
        let token = local_sign_in::issue(&self.key()?, Purpose::Link, &nonce, now_ms() + LOCAL_LINK_MS_MAX);
        Ok(format!("{origin}/sign-in?link={token}"))
    }

    /// A cookie for our own requests, good for a minute.
    pub(crate) fn cookie(&self, host: &str) -> Result<String> {
        let nonce = Uuid::new_v4().simple().to_string();
        let token = local_sign_in::issue(&self.key()?, Purpose::Cookie { host }, &nonce, now_ms() + 60_000);
        let suffix: String = self.stored.user.to_string().chars().filter(char::is_ascii_hexdigit).take(12).collect();
        Ok(format!("berth_local_{suffix}={token}"))
    }

    fn key(&self) -> Result<[u8; KEY_BYTES]> {
        local_sign_in::key_from_hex(&self.stored.key).context("the state's key is damaged; start over with --fresh")
    }
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// `1.20261117.1` as numbers.
fn version(text: &str) -> Vec<u64> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[expect(clippy::disallowed_methods, reason = "xtask is native; this is its wall clock")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_a_newer_runtime_is_refused_and_kept() {
        let folder = std::env::temp_dir().join(format!("berth-state-{}", Uuid::new_v4()));
        let key = State::open(&folder, "1.20261117.1", false).unwrap().stored.key;
        assert_eq!(State::open(&folder, "1.20261118.1", false).unwrap().stored.key, key, "it persists");
        let error = State::open(&folder, "1.20261117.1", false).err().unwrap().to_string();
        assert!(error.contains("1.20261118.1") && error.contains("--fresh"), "{error}");
        assert_ne!(State::open(&folder, "1.20261117.1", true).unwrap().stored.key, key);
        fs::remove_dir_all(folder).unwrap();
    }
}
