//! Versions of the tariff by the instant from which they hold.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{BadTariff, Plan, Tariff};
use crate::domain::ids::PlanId;
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TariffSource {
    /// Built in.
    Shipped,
    /// A file, by its path.
    File(String),
    /// Put by REST, and kept in the relational store.
    Rest,
}

impl TariffSource {
    /// For REST.
    pub const fn as_str(&self) -> &'static str {
        match self {
            TariffSource::Shipped => "shipped",
            TariffSource::File(_) => "file",
            TariffSource::Rest => "rest",
        }
    }
}

impl fmt::Display for TariffSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TariffSource::Shipped => f.write_str("the built-in list"),
            TariffSource::File(path) => f.write_str(path),
            TariffSource::Rest => f.write_str("REST"),
        }
    }
}

/// A version and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What it says.
    pub tariff: Arc<Tariff>,
    /// Where it came from.
    pub source: TariffSource,
}

impl Version {
    /// From `source`.
    pub fn new(tariff: Tariff, source: TariffSource) -> Self {
        Self { tariff: Arc::new(tariff), source }
    }
}

/// As if built in.
impl From<Tariff> for Version {
    fn from(tariff: Tariff) -> Self {
        Self::new(tariff, TariffSource::Shipped)
    }
}

/// Every version of the tariff. A book never changes: a service makes the next one of
/// its versions and others.
///
/// Invariants: one version or more, ascending by number and by the instant from
/// which they hold; one currency; a plan stays once it is in, because lines may be
/// on it. The first version holds for all time before the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TariffBook {
    versions: Vec<Version>,
}

impl TariffBook {
    /// Versions in any order, each checked, and each against the one before it. Of two
    /// that hold from one instant, or have one number, neither wins.
    ///
    /// # Errors
    /// Every fault of the first version that has one, with its place.
    ///
    /// # Panics
    /// Where there is no version at all.
    pub fn new<V: Into<Version>>(versions: impl IntoIterator<Item = V>) -> Result<Self, BadTariff> {
        let mut versions: Vec<Version> = versions.into_iter().map(V::into).collect();
        assert!(!versions.is_empty(), "a book has a version");
        versions.sort_by_key(|held| (held.tariff.effective_from, held.tariff.version));
        for held in &versions {
            held.tariff.check()?;
        }
        for pair in versions.windows(2) {
            pair[1].check_after(&pair[0])?;
        }
        Ok(Self { versions })
    }

    /// The book with one version more.
    ///
    /// # Errors
    /// As [`TariffBook::new`].
    pub fn with(&self, version: impl Into<Version>) -> Result<Self, BadTariff> {
        Self::new(self.versions.iter().cloned().chain([version.into()]))
    }

    /// The version that holds at `at`; the first one for times before it.
    pub fn at(&self, at: Timestamp) -> &Tariff {
        let held = self.versions.iter().rev().find(|held| held.tariff.effective_from <= at);
        &held.unwrap_or(&self.versions[0]).tariff
    }

    /// A plan as the version at `at` has it.
    pub fn plan_at(&self, id: &PlanId, at: Timestamp) -> Option<&Plan> {
        self.at(at).plan(id)
    }

    /// When the version after the one at `at` begins to hold.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.changes().find(|from| *from > at)
    }

    /// When the version at `at` began to hold, where another held before it.
    pub fn last_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.changes().rfind(|from| *from <= at)
    }

    fn changes(&self) -> impl DoubleEndedIterator<Item = Timestamp> {
        self.versions.iter().skip(1).map(|held| held.tariff.effective_from)
    }

    /// What every price is in.
    pub fn currency(&self) -> Currency {
        self.versions[0].tariff.currency
    }

    /// Every version, the oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version of that number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|held| held.tariff.version == number)
    }
}

impl Version {
    fn check_after(&self, before: &Self) -> Result<(), BadTariff> {
        let tariff = &self.tariff;
        let other = format!("version {} of {}", before.tariff.version, before.source);
        if before.tariff.effective_from == tariff.effective_from {
            let reason = format!("holds from the same instant as {other}, and neither wins: change or remove one");
            return Err(tariff.fault("effective_from", reason));
        }
        if before.tariff.version >= tariff.version {
            return Err(tariff.fault("version", format!("has to be above {other}, which holds before it")));
        }
        if before.tariff.currency != tariff.currency {
            let reason = format!("is {}, not {} as in {other}", tariff.currency.code(), before.tariff.currency.code());
            return Err(tariff.fault("currency", reason));
        }
        if let Some(gone) = before.tariff.plans.keys().find(|id| !tariff.plans.contains_key(*id)) {
            let reason = format!("plan `{gone}` of {other} is missing: lines may be on it");
            return Err(tariff.fault(format!("plan.{gone}"), reason));
        }
        Ok(())
    }
}

/// One version, for all time; not checked.
impl From<Tariff> for TariffBook {
    fn from(tariff: Tariff) -> Self {
        Self { versions: vec![tariff.into()] }
    }
}

/// The book in force, shared by shards and services, and replaced while they run.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedTariff(Arc<RwLock<Arc<TariffBook>>>);

impl SharedTariff {
    /// With a book to begin with.
    pub fn new(book: TariffBook) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(book))))
    }

    /// The book at this moment: take it once for a batch of work, so that the batch
    /// is judged by one book.
    pub fn book(&self) -> Arc<TariffBook> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another book in force, for all that is begun from then on.
    pub fn replace(&self, book: TariffBook) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }
}

impl From<Tariff> for SharedTariff {
    fn from(tariff: Tariff) -> Self {
        Self::new(TariffBook::from(tariff))
    }
}
