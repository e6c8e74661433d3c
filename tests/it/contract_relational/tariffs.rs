//! Versions of the tariff: a change is decided on all of them, and guarded by their revision.

use linegate::domain::money::Currency;
use linegate::domain::tariff::Tariff;
use linegate::ports::relational::{StoredTariffs, TariffChange, Write};

use super::sample::at;
use super::{Store, check_conflict};

fn version(version: u32, tax_percent: u8) -> Tariff {
    Tariff { effective_from: at(i64::from(version)), ..Tariff::empty(version, Currency::KRW, tax_percent) }
}

fn put(revision: u64, tariff: &Tariff) -> Write {
    Write::Tariff { revision, change: TariffChange::Put(tariff.clone()) }
}

async fn check(store: &Store, revision: u64, versions: &[&Tariff]) {
    let versions = versions.iter().copied().cloned().collect();
    assert_eq!(store.tariffs().await.unwrap(), StoredTariffs { revision, versions });
    assert_eq!(store.tariff_revision().await.unwrap(), revision);
}

pub(crate) async fn tariff_versions_are_put_replaced_and_withdrawn(store: &Store) {
    check(store, 0, &[]).await;
    let (two, three, dearer) = (version(2, 10), version(3, 10), version(2, 12));
    store.save(vec![put(0, &three)]).await.unwrap();
    store.save(vec![put(1, &two)]).await.unwrap();
    check(store, 2, &[&two, &three]).await;
    store.save(vec![put(2, &dearer)]).await.unwrap();
    check(store, 3, &[&dearer, &three]).await;
    for revision in [3, 4] {
        let withdrawn = Write::Tariff { revision, change: TariffChange::Withdraw(3) };
        store.save(vec![withdrawn]).await.unwrap();
        check(store, revision + 1, &[&dearer]).await;
    }
}

pub(crate) async fn of_two_changes_of_the_tariff_decided_at_once_one_is_refused(store: &Store) {
    let (two, three) = (version(2, 10), version(3, 10));
    store.save(vec![put(0, &two)]).await.unwrap();
    for revision in [0, 2] {
        let refused = store.save(vec![Write::Meta("k".to_owned(), "v".to_owned()), put(revision, &three)]).await;
        check_conflict(refused, "tariff versions");
    }
    check(store, 1, &[&two]).await;
    assert_eq!(store.meta("k").await.unwrap(), None, "nothing of the save stays");
    // taken back with a save whose later write is refused
    check_conflict(store.save(vec![put(1, &three), put(1, &three)]).await, "tariff versions");
    check(store, 1, &[&two]).await;
}
