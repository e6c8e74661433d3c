//! Several tasks at once.

use linegate::domain::ordering::Milestone;
use linegate::ports::relational::{OrderFilter, Page, StoreError, Write};

use super::Store;
use super::sample::{at, happening, order, slot};

pub(crate) async fn two_tasks_race_for_the_last_place(store: &Store) {
    store.save(vec![Write::Slot(slot("s-1", 100, 1))]).await.unwrap();
    let hold =
        |who: &str| store.save(vec![Write::Meta(who.to_owned(), "won".to_owned()), Write::HoldSlot("s-1".into())]);
    let (left, right) = tokio::join!(hold("left"), hold("right"));
    assert_ne!(left.is_ok(), right.is_ok(), "{left:?} {right:?}");
    assert_eq!(store.meta("left").await.unwrap().is_some(), left.is_ok());
    assert_eq!(store.meta("right").await.unwrap().is_some(), right.is_ok());
    assert_eq!(store.slot(&"s-1".into()).await.unwrap().unwrap().held, 1);
}

pub(crate) async fn of_many_updates_of_one_version_exactly_one_wins(store: &Store) {
    const TASKS: u64 = 50;
    store.save(vec![Write::Order(order("o-1", "l-1", 1))]).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..TASKS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut lost = 0_u64;
            loop {
                let mut loaded = store.order(&"o-1".into()).await.unwrap().unwrap();
                loaded.milestones.push(Milestone { at: at(1), name: n.to_string(), message: String::new() });
                match store.save(vec![Write::Order(loaded), Write::Happening(happening(Some("o-1"), 1))]).await {
                    Ok(()) => return lost,
                    Err(StoreError::Conflict { .. }) => lost += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }));
    }
    let mut lost = 0;
    for task in tasks {
        lost += task.await.unwrap();
    }
    let last = store.order(&"o-1".into()).await.unwrap().unwrap();
    assert_eq!(last.version, TASKS + 1, "each version had one winner, {lost} tries lost");
    let mut names: Vec<u64> = last.milestones.iter().filter_map(|m| m.name.parse().ok()).collect();
    names.sort_unstable();
    assert_eq!(names, (0..TASKS).collect::<Vec<_>>());
    assert_eq!(store.happenings_of_order(&"o-1".into()).await.unwrap().len() as u64, TASKS);
}

pub(crate) async fn saves_of_many_tasks_are_each_kept(store: &Store) {
    let mut tasks = Vec::new();
    for n in 0..200 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let id = format!("o-{n}");
            store
                .save(vec![Write::Order(order(&id, "l-1", n)), Write::Happening(happening(Some(&id), n))])
                .await
                .unwrap();
            // A read sees every save that returned before it.
            assert!(store.order(&id.as_str().into()).await.unwrap().is_some());
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let page = store.orders(&OrderFilter::default(), Page { offset: 0, limit: 1 }).await.unwrap();
    assert_eq!(page.total, 200);
    let events = store.happenings_after(0, 1000).await.unwrap();
    assert_eq!(events.iter().map(|e| e.sequence).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
}

/// Saves that a backend gathers into one commit, kept and refused side by side.
pub(crate) async fn a_refused_save_takes_back_itself_alone(store: &Store) {
    store.save(vec![Write::Slot(slot("s-1", 100, 40))]).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..120_u32 {
        let meta = Write::Meta(format!("k-{n}"), "kept".to_owned());
        let writes = match n % 4 {
            0 => vec![meta],
            1 => vec![Write::HoldSlot("none".into())],
            2 => vec![Write::HoldSlot("s-1".into()), meta],
            _ => vec![Write::HoldSlot("s-1".into()), meta, Write::HoldSlot("none".into())],
        };
        let store = store.clone();
        tasks.push(tokio::spawn(async move { (n, store.save(writes).await.is_ok()) }));
    }
    for task in tasks {
        let (n, kept) = task.await.unwrap();
        assert_eq!(kept, n % 2 == 0, "save {n}");
        assert_eq!(store.meta(&format!("k-{n}")).await.unwrap().is_some(), kept, "save {n}");
    }
    assert_eq!(store.slot(&"s-1".into()).await.unwrap().unwrap().held, 30);
}
