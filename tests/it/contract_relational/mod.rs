//! The contract of the relational port, as functions over `&Arc<dyn Relational>`,
//! run against every backend. To add one: a folder-or-server fixture that gives
//! an empty store, and a line below `every_contract!`.

mod billing;
mod concurrency;
mod devices;
mod orders;
mod outbox;
pub(crate) mod postgres;
mod sample;
mod speed;
mod sqlite;
mod suspense;
mod tariffs;
mod work;

use std::sync::Arc;

use linegate::adapters::memory::MemoryStore;
use linegate::adapters::sqlite::{SqliteSettings, SqliteStore};
use linegate::ports::relational::{Page, Relational, StoreError, Stored};

type Store = Arc<dyn Relational>;

const ALL: Page = Page { offset: 0, limit: 1000 };

/// Hands `$what` and every function of the contract to a macro.
macro_rules! every_contract {
    ($to:ident! $what:tt) => {
        $to! { $what
            orders: a_new_order_is_read_back_one_version_higher,
            orders: a_stale_version_is_refused_and_nothing_of_its_save_stays,
            orders: an_update_of_what_is_not_there_is_refused,
            orders: writes_are_applied_in_their_order,
            orders: orders_are_found_by_each_filter_newest_first_with_the_total,
            orders: orders_are_counted_by_state_as_they_move,
            orders: an_idempotency_key_is_taken_once,
            orders: a_saga_keeps_its_log_in_order,
            orders: due_sagas_come_by_priority_then_age,
            orders: stuck_sagas_are_listed_oldest_first,
            orders: lines_are_found_by_each_filter_by_id,
            orders: the_newest_living_line_has_the_identifier,
            orders: modems_that_a_gateway_holds_are_found,
            orders: lines_by_account_come_in_whole_accounts,
            orders: the_session_of_a_line_is_what_was_written_last,
            work: a_slot_is_held_up_to_its_capacity_and_given_back,
            work: a_replaced_slot_keeps_what_is_held,
            work: free_slots_come_earliest_first_inside_the_stretch,
            work: every_slot_of_a_worker_is_found_full_or_not,
            work: searches_are_kept_until_they_are_forgotten,
            work: appointments_are_found_by_each_filter_and_deleted_ones_by_none,
            work: appointments_are_newest_first_and_by_order,
            work: calls_come_by_next_attempt_and_state,
            work: work_orders_come_by_planned_start_and_filter,
            devices: devices_are_found_by_id_and_by_certificate_name,
            devices: a_certificate_name_is_one_devices,
            devices: a_stale_device_is_refused,
            devices: devices_are_listed_by_id_with_the_total,
            outbox: a_save_of_many_writes_is_all_or_nothing_and_in_order,
            outbox: happenings_have_rising_sequence_and_stable_ids,
            outbox: a_message_with_a_known_id_or_once_key_is_dropped,
            outbox: only_the_oldest_pending_of_a_stream_and_recipient_is_due,
            outbox: a_replayed_message_goes_before_later_ones,
            outbox: messages_are_listed_by_channel_and_state_newest_first,
            outbox: listeners_are_replaced_and_removed,
            outbox: small_values_and_cursors_are_kept,
            billing: a_repeated_drain_changes_nothing,
            billing: a_threshold_becomes_one_event,
            billing: of_two_drains_of_a_log_one_is_refused,
            billing: usage_comes_back_as_it_was,
            billing: usage_is_summed_by_account_line_plan_and_late_cycle,
            billing: suspense_is_kept_once_by_key_and_rating_group,
            suspense: a_counted_record_turns_what_is_open_to_recycled,
            suspense: an_accounts_judgement_replaces_the_reason_while_it_is_open,
            suspense: what_is_done_about_a_record_is_kept_and_moves_it_once,
            suspense: usage_is_read_on_from_a_place,
            suspense: ages_are_those_of_what_is_open,
            billing: usage_is_found_by_each_filter_newest_first,
            billing: an_account_and_cycle_is_billed_once,
            billing: invoice_numbers_have_no_gap_after_refused_saves,
            billing: ledger_postings_are_summed_by_side_and_unit,
            billing: settlement_and_close_run_are_kept_by_cycle,
            tariffs: tariff_versions_are_put_replaced_and_withdrawn,
            tariffs: of_two_changes_of_the_tariff_decided_at_once_one_is_refused,
            concurrency: a_refused_save_takes_back_itself_alone,
            concurrency: two_tasks_race_for_the_last_place,
            concurrency: of_many_updates_of_one_version_exactly_one_wins,
            concurrency: saves_of_many_tasks_are_each_kept,
        }
    };
}

/// One test for each, in a module named after the backend.
macro_rules! test_each {
    (($backend:ident, $fixture:path) $($part:ident: $name:ident,)+) => {
        mod $backend {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _keep) = $fixture().await;
                super::$part::$name(&store).await;
            }
        )+}
    };
}

every_contract! { test_each! (memory, super::in_memory) }
every_contract! { test_each! (on_sqlite, super::in_a_file) }

/// Each in turn, on a store of its own from `$fixture`: for servers, which cost
/// more to start than the contract costs to run.
macro_rules! run_each {
    (($fixture:expr) $($part:ident: $name:ident,)+) => {$({
        eprintln!("contract: {}", stringify!($name));
        let store: Store = $fixture.await;
        $part::$name(&store).await;
    })+};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_postgresql() {
    let server = postgres::Server::start();
    every_contract! { run_each! (async { server.fresh_store().await as Store }) }
}

async fn in_memory() -> (Store, ()) {
    (Arc::new(MemoryStore::new()), ())
}

async fn in_a_file() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&sqlite::url(folder.path()), SqliteSettings::default()).await.unwrap();
    (Arc::new(store), folder)
}

#[track_caller]
fn check_conflict(outcome: Stored<()>, of: &str) {
    match outcome {
        Err(StoreError::Conflict { what }) => assert!(what.contains(of), "`{what}` does not name `{of}`"),
        other => panic!("expected a conflict on {of}, got {other:?}"),
    }
}
