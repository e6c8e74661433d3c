//! Devices: found by either name, guarded by version and by certificate name.

use linegate::domain::device::{Credential, Device, TokenDigest};
use linegate::ports::relational::{Page, Write};

use super::sample::at;
use super::{ALL, Store, check_conflict};

fn with_token(id: &str) -> Device {
    Device::enrolled(id.into(), Credential::Token(TokenDigest::of(id.as_bytes())), at(1))
}

fn with_certificate(id: &str, name: &str) -> Device {
    Device::enrolled(id.into(), Credential::Certificate(name.into()), at(1))
}

async fn save(store: &Store, device: Device) {
    store.save(vec![Write::Device(device)]).await.unwrap();
}

fn stored(device: &Device) -> Device {
    Device { version: device.version + 1, ..device.clone() }
}

pub(crate) async fn devices_are_found_by_id_and_by_certificate_name(store: &Store) {
    let mut one = with_token("d-1");
    one.rotate_token(TokenDigest::of(b"next"), std::time::Duration::from_secs(9), at(2));
    let two = with_certificate("d-2", "urn:dev:2 \"'계량기");
    for device in [&two, &one] {
        save(store, device.clone()).await;
    }
    let both = [stored(&one), stored(&two)];
    assert_eq!(store.devices(&["d-2".into(), "d-9".into(), "d-1".into()]).await.unwrap(), both);
    assert_eq!(store.devices(&["d-1".into(), "d-1".into()]).await.unwrap(), both[..1]);
    assert!(store.devices(&[]).await.unwrap().is_empty());
    let name = two.certificate_name.unwrap();
    assert_eq!(store.devices_of_certificates(&["d-2".into(), name]).await.unwrap(), both[1..]);
    assert!(store.devices_of_certificates(&["d-1".into()]).await.unwrap().is_empty());
    let many: Vec<_> = (0..5_000).map(|n| format!("d-{n}").into()).collect();
    assert_eq!(store.devices(&many).await.unwrap(), both);
}

pub(crate) async fn a_certificate_name_is_one_devices(store: &Store) {
    save(store, with_certificate("d-1", "name")).await;
    let other = with_certificate("d-2", "name");
    let beside = with_token("d-3");
    check_conflict(store.save(vec![Write::Device(beside), Write::Device(other.clone())]).await, "certificate_name");
    assert!(store.devices(&["d-2".into(), "d-3".into()]).await.unwrap().is_empty(), "nothing of the save stays");
    // The name is free when its device takes another.
    let mut first = store.devices(&["d-1".into()]).await.unwrap().remove(0);
    first.enrol_again(Credential::Certificate("another".into()), at(2));
    save(store, first.clone()).await;
    save(store, other.clone()).await;
    assert_eq!(store.devices_of_certificates(&["name".into()]).await.unwrap(), [stored(&other)]);
    let mut again = stored(&first);
    again.enrol_again(Credential::Certificate("name".into()), at(3));
    check_conflict(store.save(vec![Write::Device(again)]).await, "certificate_name");
    assert_eq!(store.devices_of_certificates(&["another".into()]).await.unwrap(), [stored(&first)]);
}

pub(crate) async fn a_stale_device_is_refused(store: &Store) {
    let new = with_token("d-1");
    save(store, new.clone()).await;
    check_conflict(store.save(vec![Write::Device(new.clone())]).await, "device d-1");
    check_conflict(store.save(vec![Write::Device(Device { version: 2, ..new.clone() })]).await, "device d-1");
    check_conflict(store.save(vec![Write::Device(Device { version: 1, ..with_token("d-2") })]).await, "device d-2");
    let mut revoked = stored(&new);
    revoked.revoke(at(5));
    save(store, revoked.clone()).await;
    assert_eq!(store.devices(&["d-1".into()]).await.unwrap(), [stored(&revoked)]);
}

pub(crate) async fn devices_are_listed_by_id_with_the_total(store: &Store) {
    for id in ["d-2", "d-3", "d-1"] {
        save(store, with_token(id)).await;
    }
    let ids = |page| async move {
        let found = store.device_list(page).await.unwrap();
        (found.items.iter().map(|d| d.id.to_string()).collect::<Vec<_>>(), found.total)
    };
    assert_eq!(ids(ALL).await, (vec!["d-1".to_owned(), "d-2".to_owned(), "d-3".to_owned()], 3));
    assert_eq!(ids(Page { offset: 1, limit: 1 }).await, (vec!["d-2".to_owned()], 3));
    assert_eq!(ids(Page { offset: 9, limit: 1 }).await, (vec![], 3));
}
