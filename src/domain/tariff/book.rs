//! Versions of the tariff by the instant from which they hold.

use std::sync::{Arc, PoisonError, RwLock};

use super::{BadTariff, Plan, Tariff};
use crate::domain::ids::PlanId;
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;

/// Every version of the tariff. A book never changes: [`TariffBook::add`] gives the
/// next one.
///
/// Invariants: one version or more, ascending by number and by the instant from
/// which they hold; one currency; a plan stays once it is in, because lines may be
/// on it. The first version holds for all time before the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TariffBook {
    versions: Vec<Arc<Tariff>>,
}

impl TariffBook {
    /// Versions in any order, each checked.
    ///
    /// # Errors
    /// The first fault, with its version, plan and rule.
    pub fn new(mut versions: Vec<Tariff>) -> Result<Self, BadTariff> {
        versions.sort_by_key(|tariff| (tariff.effective_from, tariff.version));
        let book = Self { versions: versions.into_iter().map(Arc::new).collect() };
        book.check()?;
        Ok(book)
    }

    /// The version that holds at `at`; the first one for times before it.
    pub fn at(&self, at: Timestamp) -> &Tariff {
        let held = self.versions.iter().rev().find(|tariff| tariff.effective_from <= at);
        held.unwrap_or(&self.versions[0])
    }

    /// A plan as the version at `at` has it.
    pub fn plan_at(&self, id: &PlanId, at: Timestamp) -> Option<&Plan> {
        self.at(at).plan(id)
    }

    /// When the version after the one at `at` begins to hold.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.versions.iter().skip(1).map(|tariff| tariff.effective_from).find(|from| *from > at)
    }

    /// When the version at `at` began to hold, where another held before it.
    pub fn last_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.versions.iter().skip(1).map(|tariff| tariff.effective_from).rfind(|from| *from <= at)
    }

    /// What every price is in.
    pub fn currency(&self) -> Currency {
        self.versions[0].currency
    }

    /// Every version, the oldest first.
    pub fn versions(&self) -> &[Arc<Tariff>] {
        &self.versions
    }

    /// The book with one version more. What holds already is never changed: a new
    /// version has to hold from after `now`, and takes the place of those that were
    /// to hold from then on or later.
    ///
    /// # Errors
    /// The first fault, with its version, plan and rule; nothing is added.
    pub fn add(&self, tariff: Tariff, now: Timestamp) -> Result<Self, BadTariff> {
        if tariff.effective_from <= now {
            let reason =
                format!("effective_from {} is not after {now}: past usage keeps its price", tariff.effective_from);
            return Err(tariff.fault(reason));
        }
        if let Some(newest) = self.versions.last().filter(|newest| newest.version >= tariff.version) {
            return Err(tariff.fault(format!("version has to be above {}", newest.version)));
        }
        let kept = self.versions.iter().take_while(|held| held.effective_from < tariff.effective_from);
        let versions = kept.cloned().chain([Arc::new(tariff.clone())]).collect();
        let book = Self { versions };
        book.check()?;
        Ok(book)
    }

    /// Checks each version, and each against the one before it.
    ///
    /// # Errors
    /// The first fault, with its version, plan and rule.
    pub fn check(&self) -> Result<(), BadTariff> {
        if self.versions.is_empty() {
            return Err(BadTariff { place: "tariff".to_owned(), reason: "there is no version".to_owned() });
        }
        for tariff in &self.versions {
            tariff.check()?;
        }
        for pair in self.versions.windows(2) {
            let (before, tariff) = (&pair[0], &pair[1]);
            if before.version >= tariff.version {
                return Err(tariff.fault(format!("version has to be above {}, which holds before it", before.version)));
            }
            if before.effective_from == tariff.effective_from {
                return Err(tariff.fault(format!("holds from the same instant as version {}", before.version)));
            }
            if before.currency != tariff.currency {
                let reason = format!("currency is {}, not {}", tariff.currency.code(), before.currency.code());
                return Err(tariff.fault(reason));
            }
            if let Some(gone) = before.plans.keys().find(|id| !tariff.plans.contains_key(*id)) {
                let reason = format!("plan `{gone}` of version {} is missing: lines may be on it", before.version);
                return Err(tariff.fault(reason));
            }
        }
        Ok(())
    }
}

/// One version, for all time; not checked.
impl From<Tariff> for TariffBook {
    fn from(tariff: Tariff) -> Self {
        Self { versions: vec![Arc::new(tariff)] }
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

    /// Adds a version to the book in force, see [`TariffBook::add`]; of two that come
    /// at once the second is added to the first one's book.
    ///
    /// # Errors
    /// The first fault; nothing is added.
    pub fn add(&self, tariff: Tariff, now: Timestamp) -> Result<(), BadTariff> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(held.add(tariff, now)?);
        Ok(())
    }
}

impl From<Tariff> for SharedTariff {
    fn from(tariff: Tariff) -> Self {
        Self::new(TariffBook::from(tariff))
    }
}
