//! The data folder: one gateway at a time, and where it can be reached.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};

use crate::config::Config;

const LOCK: &str = "linegate.lock";
const ADDRESS: &str = "linegate.http";

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
