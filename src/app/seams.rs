//! Where services meet: charging behind the ports that activation, month and
//! imports stand on, and month and imports behind what REST needs. Translation
//! only.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::api::{
    AccountView, Accounts, Balances, CloseRequest, Imports as ImportOperations, MonthOperations, OperationError,
    Report, Upload,
};
use crate::domain::account::{AccountCommand, AccountView as Balance, CommandAnswer, TopUp};
use crate::domain::cycle::CycleId;
use crate::domain::ids::{AccountId, DeviceId, LineId, SessionId};
use crate::domain::line::{Line, LineState};
use crate::domain::rating::request::{ChargeAnswer, ChargeRequest};
use crate::domain::rating::rerate::Rerate;
use crate::domain::tariff::{SharedTariff, UsagePrice};
use crate::domain::time::Timestamp;
use crate::domain::usage::UsageRecord;
use crate::ports::Clock;
use crate::ports::charging::{LineCharging, LineChargingError, OpenSession};
use crate::ports::closing::{ClosedCycle, ClosingError, CycleCloser, Progress};
use crate::ports::intake::{AccountIntake, IntakeError, RecycleIntake, RerateIntake, UsageIntake};
use crate::ports::modem::Modems;
use crate::ports::network::Elements;
use crate::services::activation::reauthorize;
use crate::services::charging::{Charging, ChargingError};
use crate::services::drain::Drain;
use crate::services::imports::{BadRow, ImportError, Imports};
use crate::services::month::{BillingSettings, CloseOptions, CloseProgress, Month, MonthError};

/// Accounts opened at once by an import.
const OPENING_AT_ONCE: usize = 512;
/// Tries of an import's command that found its shard full.
const BUSY_TRIES: u32 = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Modems on every transport: each reaches those that it serves.
pub struct EveryTransport(pub Vec<Arc<dyn Modems>>);

#[async_trait]
impl Modems for EveryTransport {
    async fn desired_changed(&self, device: &DeviceId) {
        for modems in &self.0 {
            modems.desired_changed(device).await;
        }
    }

    async fn expel(&self, device: &DeviceId) {
        for modems in &self.0 {
            modems.expel(device).await;
        }
    }
}

/// Charging behind the ports of activation, month and imports.
pub struct ChargingSeam {
    charging: Charging,
    drain: Arc<Drain>,
    anchor_day: u8,
    zone: String,
    clock: Arc<dyn Clock>,
}

impl ChargingSeam {
    /// New accounts get the anchor and zone of the settings.
    pub fn new(charging: Charging, drain: Arc<Drain>, billing: &BillingSettings, clock: Arc<dyn Clock>) -> Self {
        Self { charging, drain, anchor_day: billing.anchor_day, zone: billing.time_zone.clone(), clock }
    }

    fn open_command(&self, key: String, line: &Line, state: LineState, at: Timestamp) -> AccountCommand {
        AccountCommand::OpenLine {
            key,
            line: line.id.clone(),
            customer: line.customer.clone(),
            anchor_day: self.anchor_day,
            zone: self.zone.clone(),
            profile: Box::new(line.profile.clone()),
            state,
            at,
        }
    }

    async fn tell(&self, account: &AccountId, command: AccountCommand) -> Result<CommandAnswer, LineChargingError> {
        match self.charging.command(account, command).await {
            Ok(CommandAnswer::Refused(reason)) => Err(LineChargingError::Refused { reason }),
            // A line that has ended may be forgotten; any other must be there.
            Ok(CommandAnswer::UnknownLine) => {
                Err(LineChargingError::Refused { reason: format!("account {account} has no such line") })
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(LineChargingError::Busy { reason: error.to_string() }),
        }
    }

    async fn sessions(
        &self,
        account: &AccountId,
        command: AccountCommand,
    ) -> Result<Vec<OpenSession>, LineChargingError> {
        let CommandAnswer::Sessions(sessions) = self.tell(account, command).await? else { return Ok(Vec::new()) };
        let known = sessions.into_iter().filter_map(|s| Some(OpenSession { peer: s.peer?, session: s.session }));
        Ok(known.collect())
    }
}

#[async_trait]
impl LineCharging for ChargingSeam {
    async fn open_line(&self, key: &str, line: &Line, at: Timestamp) -> Result<(), LineChargingError> {
        let command = self.open_command(key.to_owned(), line, LineState::Active, at);
        self.tell(&line.account, command).await.map(|_| ())
    }

    async fn change_line(&self, key: &str, line: &Line, at: Timestamp) -> Result<(), LineChargingError> {
        let (key, profile) = (key.to_owned(), Box::new(line.profile.clone()));
        let command = AccountCommand::ChangeLine { key, line: line.id.clone(), profile, at };
        self.tell(&line.account, command).await.map(|_| ())
    }

    async fn reach(
        &self,
        key: &str,
        account: &AccountId,
        line: &LineId,
        state: LineState,
        at: Timestamp,
    ) -> Result<(), LineChargingError> {
        let command = AccountCommand::Reach { key: key.to_owned(), line: line.clone(), state, at };
        self.tell(account, command).await.map(|_| ())
    }

    async fn stop_grants(
        &self,
        key: &str,
        account: &AccountId,
        line: &LineId,
    ) -> Result<Vec<OpenSession>, LineChargingError> {
        let command = AccountCommand::StopGrants { key: key.to_owned(), line: line.clone() };
        self.sessions(account, command).await
    }

    async fn session_ended(&self, account: &AccountId, session: &SessionId) -> Result<(), LineChargingError> {
        self.tell(account, AccountCommand::EndedSession { session: session.clone() }).await.map(|_| ())
    }

    async fn open_sessions(&self, account: &AccountId, line: &LineId) -> Result<Vec<OpenSession>, LineChargingError> {
        self.sessions(account, AccountCommand::OpenSessions { line: line.clone() }).await
    }
}

#[async_trait]
impl CycleCloser for ChargingSeam {
    async fn close_cycle(&self, cycle: CycleId, progress: Progress<'_>) -> Result<ClosedCycle, ClosingError> {
        let closed = self.charging.close_cycle(cycle, progress).await;
        let failed = |error: ChargingError| ClosingError { operation: "close cycle", reason: error.to_string() };
        closed.map(|c| ClosedCycle { accounts: c.accounts, position: c.position }).map_err(failed)
    }

    async fn drain_until(&self, position: u64) -> Result<(), ClosingError> {
        let failed = |error| ClosingError { operation: "drain", reason: format!("{error}") };
        self.drain.drain_until(position).await.map_err(failed)
    }
}

#[async_trait]
impl AccountIntake for ChargingSeam {
    async fn open(&self, lines: Vec<Line>) -> Result<(), IntakeError> {
        let now = self.clock.now();
        let mut opening = JoinSet::new();
        for line in lines {
            // An account's own clock starts where the line's first period does.
            let since = line.periods.first().map_or(now, |p| p.span.from);
            let command = self.open_command(format!("import/{}", line.id), &line, line.actual, since);
            opening.spawn(open_account(self.charging.clone(), line.account.clone(), command));
            if opening.len() >= OPENING_AT_ONCE
                && let Some(done) = opening.join_next().await
            {
                joined(done)?;
            }
        }
        while let Some(done) = opening.join_next().await {
            joined(done)?;
        }
        Ok(())
    }
}

fn joined(done: Result<Result<(), IntakeError>, tokio::task::JoinError>) -> Result<(), IntakeError> {
    done.unwrap_or_else(|error| Err(IntakeError::Failed { operation: "open account", reason: error.to_string() }))
}

async fn open_account(charging: Charging, account: AccountId, command: AccountCommand) -> Result<(), IntakeError> {
    for _ in 0..BUSY_TRIES {
        match charging.command(&account, command.clone()).await {
            Ok(CommandAnswer::Refused(reason)) => {
                return Err(IntakeError::Failed { operation: "open account", reason });
            }
            Ok(_) => return Ok(()),
            Err(ChargingError::Overloaded) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(error) => {
                return Err(IntakeError::Failed { operation: "open account", reason: error.to_string() });
            }
        }
    }
    Err(IntakeError::Busy)
}

#[async_trait]
impl UsageIntake for ChargingSeam {
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeAnswer, IntakeError> {
        self.charging.charge(request).await.map_err(|error| match error {
            ChargingError::Overloaded => IntakeError::Busy,
            other => IntakeError::Failed { operation: "charge", reason: other.to_string() },
        })
    }

    async fn suspend(&self, record: UsageRecord) -> Result<ChargeAnswer, IntakeError> {
        self.charging.keep(record).await.map_err(|error| match error {
            ChargingError::Overloaded => IntakeError::Busy,
            other => IntakeError::Failed { operation: "keep in suspense", reason: other.to_string() },
        })
    }
}

#[async_trait]
impl RecycleIntake for ChargingSeam {
    async fn recycle(&self, record: UsageRecord) -> Result<ChargeAnswer, IntakeError> {
        self.charging.recycle(record).await.map_err(|error| match error {
            ChargingError::Overloaded => IntakeError::Busy,
            other => IntakeError::Failed { operation: "recycle", reason: other.to_string() },
        })
    }

    async fn settled(&self) -> Result<(), IntakeError> {
        let drained = self.drain.drain_until(self.charging.position()).await;
        drained.map_err(|error| IntakeError::Failed { operation: "drain", reason: error.to_string() })
    }
}

#[async_trait]
impl RerateIntake for ChargingSeam {
    async fn rerate(&self, account: &AccountId, ask: Rerate) -> Result<CommandAnswer, IntakeError> {
        self.charging.command(account, AccountCommand::Rerate(ask)).await.map_err(|error| match error {
            ChargingError::Overloaded => IntakeError::Busy,
            other => IntakeError::Failed { operation: "rate again", reason: other.to_string() },
        })
    }

    async fn settled(&self) -> Result<(), IntakeError> {
        RecycleIntake::settled(self).await
    }
}

/// Month close behind what REST needs.
pub struct MonthSeam(Arc<Month>);

impl MonthSeam {
    /// Over the service.
    pub fn new(month: Arc<Month>) -> Self {
        Self(month)
    }
}

#[async_trait]
impl MonthOperations for MonthSeam {
    async fn close(&self, request: CloseRequest, report: &Report) -> Result<Value, OperationError> {
        let options = CloseOptions { dry_run: request.dry_run, early: request.early };
        let listener = |progress: CloseProgress| report.progress(progress_line(&progress));
        let done = self.0.close(request.cycle, options, &listener).await.map_err(month_error)?;
        serde_json::to_value(&done).map_err(|error| OperationError::Broken { reason: error.to_string() })
    }
}

fn progress_line(progress: &CloseProgress) -> Value {
    match progress {
        CloseProgress::Closing { done, total } => json!({ "step": "closing", "done": done, "total": total }),
        CloseProgress::Draining { position } => json!({ "step": "draining", "position": position }),
        CloseProgress::Billing { through, invoices } => {
            json!({ "step": "billing", "through": through, "invoices": invoices })
        }
        CloseProgress::Settling { invoices } => json!({ "step": "settling", "invoices": invoices }),
        CloseProgress::Documents { messages } => json!({ "step": "documents", "messages": messages }),
        CloseProgress::Done => json!({ "step": "done" }),
    }
}

fn month_error(error: MonthError) -> OperationError {
    let reason = chain(&error);
    match error {
        MonthError::NotEnded { .. } => OperationError::Refused { code: "cycle-not-ended", reason },
        MonthError::NotBegun { .. } => OperationError::Refused { code: "cycle-not-begun", reason },
        MonthError::Busy { .. } => OperationError::InProgress { reason },
        MonthError::Unbillable { .. } => OperationError::Refused { code: "accounts-unbillable", reason },
        MonthError::Imbalance(_) => OperationError::Broken { reason },
        MonthError::Charging(_) | MonthError::Store(_) => OperationError::Unavailable { reason },
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Imports behind what REST needs.
pub struct ImportsSeam(Imports);

impl ImportsSeam {
    /// Over the service.
    pub fn new(imports: Imports) -> Self {
        Self(imports)
    }
}

#[async_trait]
impl ImportOperations for ImportsSeam {
    async fn usage_file(&self, file: &Upload, report: &Report) -> Result<Value, OperationError> {
        let source = open(file)?;
        let listener = |rows: u64| report.progress(json!({ "rows": rows }));
        let done = self.0.import_usage(&file.name, &file.digest, source, &listener).await.map_err(import_error)?;
        bad_rows(&done.bad_rows, report).await;
        Ok(json!({
            "file": done.file,
            "rows": done.rows,
            "taken": done.rated,
            "repeated": done.repeated,
            "suspense": done.suspense,
            "bad": done.bad,
            "alreadyImported": done.already_imported,
        }))
    }

    async fn corrected_row(&self, record: &UsageRecord, text: &str) -> Result<ChargeAnswer, OperationError> {
        self.0.corrected_row(record, text).await.map_err(import_error)
    }

    async fn lines(&self, file: &Upload, report: &Report) -> Result<Value, OperationError> {
        let source = open(file)?;
        let listener = |rows: u64| report.progress(json!({ "rows": rows }));
        let done = self.0.import_lines(source, &listener).await.map_err(import_error)?;
        bad_rows(&done.bad_rows, report).await;
        Ok(json!({
            "rows": done.rows,
            "taken": done.imported,
            "existing": done.existing,
            "enrolled": done.enrolled,
            "bad": done.bad,
        }))
    }
}

fn open(file: &Upload) -> Result<Box<dyn std::io::Read + Send>, OperationError> {
    match std::fs::File::open(&file.path) {
        Ok(open) => Ok(Box::new(std::io::BufReader::new(open))),
        Err(error) => Err(OperationError::Broken { reason: format!("open the uploaded file: {error}") }),
    }
}

async fn bad_rows(rows: &[BadRow], report: &Report) {
    for bad in rows {
        report.line(json!({ "row": bad.row, "reason": bad.reason })).await;
    }
}

fn import_error(error: ImportError) -> OperationError {
    let reason = chain(&error);
    match error {
        ImportError::Header { .. } | ImportError::UsageFile { .. } => {
            OperationError::Refused { code: "unreadable-file", reason }
        }
        ImportError::CorrectedRow { .. } => OperationError::Refused { code: "bad-row", reason },
        ImportError::TooManyRows { .. } => OperationError::Refused { code: "too-many-rows", reason },
        ImportError::Setting { .. } | ImportError::Source { .. } => OperationError::Broken { reason },
        ImportError::Charging(_) | ImportError::Store(_) => OperationError::Unavailable { reason },
    }
}

/// Charging accounts as people see them.
pub struct AccountsSeam(Charging);

impl AccountsSeam {
    /// Over the service.
    pub fn new(charging: Charging) -> Self {
        Self(charging)
    }
}

#[async_trait]
impl Accounts for AccountsSeam {
    async fn account(&self, id: &AccountId) -> Result<Option<AccountView>, OperationError> {
        let unavailable = |error: ChargingError| OperationError::Unavailable { reason: error.to_string() };
        let Some(view) = self.0.view(id).await.map_err(unavailable)? else { return Ok(None) };
        let more = match serde_json::to_value(&view) {
            Ok(Value::Object(more)) => more,
            _ => Map::new(),
        };
        let open = || view.lines.iter().filter(|l| l.cycle == view.cycle && !l.closed);
        Ok(Some(AccountView {
            id: id.clone(),
            cycle: Some(view.cycle),
            octets: open().map(|l| l.octets).sum(),
            amount: open().map(|l| l.amount).sum(),
            allowance_left_octets: open().filter_map(|l| l.allowance_left).reduce(u64::saturating_add),
            reserved_octets: open().map(|l| l.reserved).sum(),
            sessions: u64::try_from(view.sessions.len()).unwrap_or(0),
            grants_stopped: open().any(|l| l.no_new_grant),
            more,
        }))
    }
}

/// Balances behind what REST needs.
pub struct BalancesSeam {
    charging: Charging,
    lines: Arc<dyn LineCharging>,
    tariff: SharedTariff,
    elements: Arc<dyn Elements>,
    clock: Arc<dyn Clock>,
}

impl BalancesSeam {
    /// Over charging, as accounts and as `lines`, and the elements whose sessions are told.
    pub fn new(
        charging: Charging,
        lines: Arc<dyn LineCharging>,
        tariff: SharedTariff,
        elements: Arc<dyn Elements>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { charging, lines, tariff, elements, clock }
    }

    /// Asks a line's sessions to come back for more quota, beside the answer. One that
    /// is not reached comes by its Validity-Time.
    fn call_back(&self, account: &AccountId, line: &LineId) {
        let (lines, elements) = (Arc::clone(&self.lines), Arc::clone(&self.elements));
        let (account, line) = (account.clone(), line.clone());
        tokio::spawn(async move {
            match reauthorize(&*lines, &*elements, &account, &line).await {
                Ok(told) => {
                    for (open, error) in told.into_iter().filter_map(|(open, asked)| Some((open, asked.err()?))) {
                        tracing::debug!(%error, peer = %open.peer, "re-authorise after a top-up");
                    }
                }
                Err(error) => tracing::debug!(%error, %line, "re-authorise after a top-up"),
            }
        });
    }
}

#[async_trait]
impl Balances for BalancesSeam {
    async fn balance(&self, account: &AccountId) -> Result<Option<Balance>, OperationError> {
        let unavailable = |error: ChargingError| OperationError::Unavailable { reason: error.to_string() };
        self.charging.view(account).await.map_err(unavailable)
    }

    async fn top_up(&self, account: &AccountId, line: &LineId, id: &str, octets: u64) -> Result<(), OperationError> {
        let refused = |code, reason: String| Err(OperationError::Refused { code, reason });
        let view = self.balance(account).await?;
        let held = view.iter().flat_map(|v| &v.lines).find(|l| l.line == *line);
        let Some(held) = held else { return refused("unknown-line", format!("line {line} has no balance")) };
        let book = self.tariff.book();
        let tariff = book.at(self.clock.now());
        let usage = held.plan.as_ref().and_then(|p| tariff.plan(p)).and_then(|p| p.usage.as_ref());
        if !usage.is_some_and(UsagePrice::has_end) {
            return refused("nothing-to-top-up", format!("the plan of line {line} has no end that could be raised"));
        }
        let top_up = TopUp { id: id.to_owned(), line: line.clone(), octets, tariff_version: tariff.version };
        match self.charging.command(account, AccountCommand::TopUp(top_up)).await {
            Ok(CommandAnswer::Done | CommandAnswer::Sessions(_)) => {
                self.call_back(account, line);
                Ok(())
            }
            Ok(CommandAnswer::UnknownLine) => refused("unknown-line", format!("line {line} has no balance")),
            Ok(CommandAnswer::Refused(reason)) => refused("top-up-refused", reason),
            Ok(CommandAnswer::Rerated(_) | CommandAnswer::Outdated) => {
                refused("top-up-refused", "charging answered something else".to_owned())
            }
            Err(error) => Err(OperationError::Unavailable { reason: error.to_string() }),
        }
    }
}
