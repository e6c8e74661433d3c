//! The data folder: one gateway at a time, and where it can be reached.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};

use crate::config::Config;

const LOCK: &str = "linegate.lock";
const ADDRESS: &str = "linegate.http";
const ID: &str = "linegate.id";

/// The folder, locked for as long as this lives.
pub struct Folder {
    lock: File,
}

impl Folder {
    /// Makes the folder if it is not there and takes it.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        match try_take(folder)? {
            Some(taken) => Ok(taken),
            None => bail!("data folder {}: another gateway runs on it; stop it or set data.folder", folder.display()),
        }
    }

    /// Says where REST is, for the commands that call a running gateway.
    pub fn announce(&self, folder: &Path, http: SocketAddr) -> anyhow::Result<()> {
        let file = folder.join(ADDRESS);
        fs::write(&file, http.to_string()).with_context(|| format!("write {}", file.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The lock goes with the process in any case.
        let _unlocked = self.lock.unlock();
    }
}

fn try_take(folder: &Path) -> anyhow::Result<Option<Folder>> {
    fs::create_dir_all(folder)
        .with_context(|| format!("data folder {}: cannot be made; set data.folder", folder.display()))?;
    let path = folder.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("data folder {}: cannot be written to", folder.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(Folder { lock })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// The folder's own name, `fresh` where it has none yet: what was drained from its hot log is
/// remembered under it where gateways share a relational store.
pub fn id(folder: &Path, fresh: &str) -> anyhow::Result<String> {
    let file = folder.join(ID);
    match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    }
    // Synced before it is used: a name that a power cut takes back would drain the log twice.
    let written = File::create(&file).and_then(|mut made| {
        made.write_all(fresh.as_bytes())?;
        made.sync_all()?;
        File::open(folder)?.sync_all()
    });
    written.with_context(|| format!("write {}", file.display()))?;
    Ok(fresh.to_owned())
}

/// Where the gateway that runs on the configured folder answers, if one runs.
pub fn running_at(config: &Config) -> anyhow::Result<Option<SocketAddr>> {
    let folder = &config.data.folder;
    if try_take(folder)?.is_some() {
        return Ok(None);
    }
    let file = folder.join(ADDRESS);
    let text = fs::read_to_string(&file)
        .with_context(|| format!("a gateway runs on {} and is not ready yet: {}", folder.display(), file.display()))?;
    let address = text.trim().parse().with_context(|| format!("read {}", file.display()))?;
    Ok(Some(address))
}
