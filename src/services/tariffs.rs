//! Versions of the tariff that are put and withdrawn while gateways run.
//!
//! Owns the book in force: the versions of the files, and those of the relational
//! store, which gateways share. Each gateway looks every `poll_ms` whether the store's
//! have changed. A version therefore holds from `lead_s` after it was put at the
//! earliest, and is changed no later than that: by then every gateway rates by it, and
//! nothing was rated by another that it would have priced. Does **not** own what a
//! version may say ([`crate::domain::tariff`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::domain::tariff::{BadTariff, SharedTariff, Tariff, TariffBook, TariffSource, Version};
use crate::domain::time::Timestamp;
use crate::ports::Clock;
use crate::ports::relational::{Relational, StoreError, StoredTariffs, TariffChange, Write};
use crate::telemetry::metrics;

/// Section `[tariffs]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TariffSettings {
    /// A tariff file, or a folder with one for each version; empty takes the built-in one.
    pub file: String,
    /// Looks for versions that were put at another gateway this often, milliseconds.
    pub poll_ms: u64,
    /// Time between putting or withdrawing a version and the instant from which it
    /// holds, seconds, at the least; two polls or more.
    pub lead_s: u64,
    /// Versions kept in the store; more are refused.
    pub versions_max: usize,
}

impl Default for TariffSettings {
    fn default() -> Self {
        Self { file: String::new(), poll_ms: 2_000, lead_s: 30, versions_max: 1_000 }
    }
}

impl TariffSettings {
    /// The file or folder, where one is named.
    pub fn file(&self) -> Option<&Path> {
        (!self.file.is_empty()).then(|| Path::new(&self.file))
    }

    /// Checks that every gateway hears of a version before it holds.
    ///
    /// # Errors
    /// The key, and what it has to be.
    pub fn check(&self) -> Result<(), String> {
        let two_polls_ms = self.poll_ms.max(1).saturating_mul(2);
        match self.lead_s.saturating_mul(1000) < two_polls_ms {
            true => Err(format!(
                "settings: tariffs.lead_s: {} s is less than two of tariffs.poll_ms ({two_polls_ms} ms): \
                 a gateway could hear of a version after it holds",
                self.lead_s
            )),
            false => Ok(()),
        }
    }
}

/// Why a version was not put or withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum TariffError {
    /// It cannot be charged by, or not beside the others.
    #[error(transparent)]
    Bad(#[from] BadTariff),
    /// It would hold too soon.
    #[error("effective_from {from} is before {earliest}: what is used until then is priced by the version before it")]
    TooEarly {
        /// What it says.
        from: Timestamp,
        /// The earliest instant.
        earliest: Timestamp,
    },
    /// Nobody has it.
    #[error("version {0} is not known")]
    Unknown(u32),
    /// It holds, or will before every gateway could hear of a change.
    #[error("version {version} holds from {from}: it is not changed any more; put a new one")]
    Holds {
        /// The version.
        version: u32,
        /// From when on.
        from: Timestamp,
    },
    /// A file has it.
    #[error("version {version} is of {source_name}: change it there")]
    OfFile {
        /// The version.
        version: u32,
        /// Where it came from.
        source_name: String,
    },
    /// It is there and says something else than the caller has seen.
    #[error("version {0} says something else: name the ETag that it has now in If-Match to replace it")]
    Other(u32),
    /// The store keeps so many.
    #[error("{0} versions are kept (tariffs.versions_max): withdraw some, or move old ones into files")]
    TooMany(usize),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A version that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// As it is kept.
    pub version: Version,
    /// Whether it is new.
    pub created: bool,
}

/// The document's ETag: equal ones say the same, however they are written.
pub fn etag(tariff: &Tariff) -> String {
    let text = serde_json::to_string(tariff).expect("a tariff is plain data");
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

/// The service.
pub struct Tariffs {
    store: Arc<dyn Relational>,
    clock: Arc<dyn Clock>,
    settings: TariffSettings,
    /// What the files say.
    files: TariffBook,
    book: SharedTariff,
    /// The store's revision that `book` is made of; one change at a time.
    revision: Mutex<u64>,
}

impl Tariffs {
    /// Merges the files' versions with the store's.
    ///
    /// # Errors
    /// The store could not be read, or a version of a file clashes with one of it.
    pub async fn open(
        store: Arc<dyn Relational>,
        clock: Arc<dyn Clock>,
        files: TariffBook,
        settings: TariffSettings,
    ) -> Result<Self, TariffError> {
        let kept = store.tariffs().await?;
        let book = SharedTariff::new(merged(&files, &kept)?);
        Ok(Self { store, clock, settings, files, book, revision: Mutex::new(kept.revision) })
    }

    /// The book in force, which follows every change.
    pub fn book(&self) -> SharedTariff {
        self.book.clone()
    }

    /// Puts a version. One that does not say from when on it holds does from the
    /// earliest instant on. Repeating it changes nothing; another document takes the
    /// place of one that does not hold yet where `seen` is the [`etag`] that it has.
    ///
    /// # Errors
    /// It is not put.
    pub async fn put(&self, mut tariff: Tariff, seen: Option<&str>) -> Result<Put, TariffError> {
        let mut revision = self.revision.lock().await;
        let kept = self.reread(&mut revision).await?;
        let (book, earliest) = (self.book.book(), self.earliest());
        let former = book.version(tariff.version);
        if tariff.effective_from == Tariff::BEGINNING {
            tariff.effective_from = former.map_or(earliest, |former| former.tariff.effective_from);
        }
        match former {
            Some(same) if *same.tariff == tariff => return Ok(Put { version: same.clone(), created: false }),
            Some(former) => may_change(&book, former, earliest, seen)?,
            None if seen.is_some() => return Err(TariffError::Unknown(tariff.version)),
            None if kept.versions.len() >= self.settings.versions_max => {
                return Err(TariffError::TooMany(self.settings.versions_max));
            }
            None => {}
        }
        // What is wrong with the document itself is told first.
        tariff.check()?;
        // The first version holds for all time before it, too.
        let earliest = earliest.max(book.versions()[0].tariff.effective_from);
        if tariff.effective_from < earliest {
            return Err(TariffError::TooEarly { from: tariff.effective_from, earliest });
        }
        let version = Version::new(tariff.clone(), TariffSource::Rest);
        let others = book.versions().iter().filter(|held| held.tariff.version != tariff.version);
        let next = TariffBook::new(others.cloned().chain([version.clone()]))?;
        let created = former.is_none();
        self.change(&mut revision, TariffChange::Put(tariff), next).await?;
        Ok(Put { version, created })
    }

    /// Withdraws a version that does not hold yet; with `seen`, only while its [`etag`]
    /// is that.
    ///
    /// # Errors
    /// It is not withdrawn.
    pub async fn withdraw(&self, number: u32, seen: Option<&str>) -> Result<(), TariffError> {
        let mut revision = self.revision.lock().await;
        self.reread(&mut revision).await?;
        let book = self.book.book();
        let version = book.version(number).ok_or(TariffError::Unknown(number))?;
        let own = etag(&version.tariff);
        may_change(&book, version, self.earliest(), Some(seen.unwrap_or(&own)))?;
        let next = TariffBook::new(book.versions().iter().filter(|held| held.tariff.version != number).cloned())?;
        self.change(&mut revision, TariffChange::Withdraw(number), next).await
    }

    /// Looks for changes until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let pause = Duration::from_millis(self.settings.poll_ms.max(1));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let outcome = match self.refresh().await {
                Ok(false) => "unchanged",
                Ok(true) => "taken",
                Err(TariffError::Store(error)) => {
                    tracing::warn!(%error, "look for changes of the tariff; tried again soon");
                    "failed"
                }
                Err(error) => {
                    tracing::error!(%error, "the store's tariff does not go with the files here: the former one is used");
                    "refused"
                }
            };
            metrics().tariff_polls.with_label_values(&[outcome]).inc();
        }
    }

    /// Takes over what another gateway has changed; says whether it had.
    ///
    /// # Errors
    /// The store could not be read, or what it has clashes with the files here; the
    /// book is what it was.
    pub async fn refresh(&self) -> Result<bool, TariffError> {
        let mut revision = self.revision.lock().await;
        if self.store.tariff_revision().await? == *revision {
            return Ok(false);
        }
        self.reread(&mut revision).await?;
        Ok(true)
    }

    /// What the store has now, in force from here on.
    async fn reread(&self, revision: &mut u64) -> Result<StoredTariffs, TariffError> {
        let kept = self.store.tariffs().await?;
        if kept.revision != *revision {
            self.book.replace(merged(&self.files, &kept)?);
            *revision = kept.revision;
        }
        Ok(kept)
    }

    /// The instant from which a version may hold that is put now.
    fn earliest(&self) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(self.settings.lead_s))
    }

    async fn change(&self, revision: &mut u64, change: TariffChange, next: TariffBook) -> Result<(), TariffError> {
        let (what, version) = match &change {
            TariffChange::Put(tariff) => ("put", tariff.version),
            TariffChange::Withdraw(version) => ("withdrawn", *version),
        };
        self.store.save(vec![Write::Tariff { revision: *revision, change }]).await?;
        *revision += 1;
        self.book.replace(next);
        tracing::info!(version, "a version of the tariff was {what}");
        Ok(())
    }
}

fn may_change(book: &TariffBook, former: &Version, earliest: Timestamp, seen: Option<&str>) -> Result<(), TariffError> {
    let Version { tariff, source } = former;
    let version = tariff.version;
    let holds = tariff.effective_from < earliest || book.versions()[0] == *former;
    match source {
        TariffSource::Rest if holds => Err(TariffError::Holds { version, from: tariff.effective_from }),
        TariffSource::Rest if seen != Some(etag(tariff).as_str()) => Err(TariffError::Other(version)),
        TariffSource::Rest => Ok(()),
        other => Err(TariffError::OfFile { version, source_name: other.to_string() }),
    }
}

fn merged(files: &TariffBook, kept: &StoredTariffs) -> Result<TariffBook, BadTariff> {
    let kept = kept.versions.iter().map(|tariff| Version::new(tariff.clone(), TariffSource::Rest));
    TariffBook::new(files.versions().iter().cloned().chain(kept))
}
