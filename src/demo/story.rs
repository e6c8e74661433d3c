//! The story, chapter by chapter.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use linegate_simulators::desk::{CallAct, WorkAct};
use linegate_simulators::element::{HeldState, SessionConfig};
use linegate_simulators::modem::UsageSample;
use serde_json::{Value, json};

use super::rest::{Rest, add, change, order};
use super::world::{CELLULAR_LINES, World, device, imsi, msisdn};
use crate::adapters::system::SystemClock;
use crate::domain::time::Timestamp;
use crate::ports::Clock;

const ORDERS: &str = "/tmf-api/serviceOrdering/v4/serviceOrder";
const APN: &str = "iot.example";
const FOREIGN_APN: &str = "internet.foreign";

/// Homes that order internet and TV.
const HOMES: usize = 5;
/// The home that is reached at the second call.
const LATE_HOME: usize = 2;
/// The home whose worker returns the job.
const RETURNED_HOME: usize = 3;

/// What is left of the story for the checks.
pub struct Told {
    /// Octets sent on each line's own APN, duplicates not counted again.
    pub own_octets: BTreeMap<String, u64>,
    /// Octets sent that belong in suspense.
    pub suspense_octets: u64,
    /// Line of each cellular IMSI.
    pub lines: BTreeMap<String, String>,
    /// The month that was closed.
    pub cycle: String,
    /// One line for the end.
    pub summary: String,
}

/// Tells everything on a world that is already there; an error says which chapter broke.
pub async fn tell(world: World) -> (World, anyhow::Result<Told>) {
    let started = SystemClock::instant();
    let mut story = Story { world, own_octets: BTreeMap::new(), suspense_octets: 0, lines: BTreeMap::new() };
    let cycle = story.chapters().await;
    let elapsed = SystemClock::instant().duration_since(started);
    let Story { world, own_octets, suspense_octets, lines } = story;
    let told = cycle.map(|cycle| {
        let summary = format!(
            "({CELLULAR_LINES} cellular lines, {HOMES} homes, month {cycle} settled, {}.{} s)",
            elapsed.as_secs(),
            elapsed.subsec_millis() / 100
        );
        Told { own_octets, suspense_octets, lines, cycle, summary }
    });
    (world, told)
}

struct Story {
    world: World,
    own_octets: BTreeMap<String, u64>,
    suspense_octets: u64,
    lines: BTreeMap<String, String>,
}

fn chapter(title: &str) {
    println!("{title}");
}

fn told(line: impl std::fmt::Display) {
    println!("  {line}");
}

fn home(n: usize) -> String {
    format!("home-{n}")
}

impl Story {
    fn rest(&self) -> &Rest {
        &self.world.rest
    }

    async fn chapters(&mut self) -> anyhow::Result<String> {
        self.watch().await.context("order system")?;
        self.orders().await.context("orders")?;
        self.activation().await.context("activation")?;
        self.visits().await.context("visits")?;
        self.usage().await.context("usage")?;
        self.suspension().await.context("suspension")?;
        self.termination().await.context("termination")?;
        self.month().await.context("month")
    }

    async fn watch(&self) -> anyhow::Result<()> {
        chapter("1. An order system registers for callbacks");
        let body = json!({ "callback": format!("{}/events", self.world.hook.url()), "query": "" });
        let (status, answer) = self.rest().post("/tmf-api/serviceOrdering/v4/hub", &body).await?;
        ensure!(status == 201, "hub: {status} {answer}");
        self.slots().await?;
        told(format!(
            "gateway: REST {}, Diameter {}, MQTT {}",
            self.world.gateway.http, self.world.gateway.diameter, self.world.gateway.mqtt
        ));
        told("five elements and 20 modems are connected; two workers have free slots tomorrow");
        Ok(())
    }

    async fn slots(&self) -> anyhow::Result<()> {
        let tomorrow = Timestamp(SystemClock.now().millis() + 86_400_000);
        for worker in ["worker-1", "worker-2"] {
            let body = json!({ "id": worker, "name": worker, "skills": ["internet", "tv"], "area": "" });
            let (status, answer) = self.rest().post("/linegate/v1/workers", &body).await?;
            ensure!(status < 300, "worker: {status} {answer}");
            for hour in 0..6i64 {
                let from = Timestamp(tomorrow.millis() + hour * 3_600_000);
                let until = Timestamp(from.millis() + 3_600_000);
                let body = json!({
                    "id": format!("{worker}-{hour}"), "worker": worker,
                    "start": from.to_string(), "end": until.to_string(), "capacity": 1,
                });
                let (status, answer) = self.rest().post("/linegate/v1/slots", &body).await?;
                ensure!(status < 300, "slot: {status} {answer}");
            }
        }
        Ok(())
    }

    async fn submit(&self, body: &Value) -> anyhow::Result<String> {
        let (status, answer) = self.rest().post(ORDERS, body).await?;
        ensure!(status == 201, "order: {status} {answer}");
        Ok(answer["id"].as_str().context("an order without id")?.to_owned())
    }

    async fn orders(&self) -> anyhow::Result<()> {
        chapter("2. Orders come in; the OLT is away");
        self.world.olt.disconnect();
        for n in 1..=CELLULAR_LINES {
            self.submit(&cellular(n)).await?;
        }
        for n in 1..=HOMES {
            let order = self.submit(&internet_and_tv(n)).await?;
            match n {
                // Nobody answers the first call; a worker who cannot get in.
                LATE_HOME => self.world.desk.script_calls(&order, [CallAct::NoAnswer]),
                RETURNED_HOME => self
                    .world
                    .desk
                    .script_visits(&order, [WorkAct::Return { reason: "no-access".to_owned(), reschedule: false }]),
                _ => {}
            }
        }
        told(format!(
            "{CELLULAR_LINES} cellular and {HOMES} internet + TV orders: each 201, stored, whatever the network does"
        ));
        let (status, _) = self.rest().post(ORDERS, &cellular(1)).await?;
        ensure!(status == 201 || status == 200, "a repeated order: {status}");
        told("order 1 sent again under the same externalId: the stored answer, no second line");
        Ok(())
    }

    async fn wait(&self, what: &str, path: &str, done: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        for _ in 0..600 {
            last = self.rest().get(path).await?;
            if done(&last) {
                return Ok(last);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("waited 30 s for {what}: {last}")
    }

    /// Waits until the order with this external id is in `state`.
    async fn ended(&self, external_id: &str, state: &str) -> anyhow::Result<Value> {
        let path = format!("{ORDERS}?externalId={external_id}");
        let found = self.wait(&format!("{external_id} to be {state}"), &path, |list| list[0]["state"] == state).await?;
        Ok(found[0].clone())
    }

    async fn activation(&mut self) -> anyhow::Result<()> {
        chapter("3. Activation on the elements and the modems");
        for n in 1..=CELLULAR_LINES {
            let order = self.ended(&format!("cell-{n}"), "completed").await?;
            let line = order["serviceOrderItem"][0]["service"]["id"].as_str().context("an item without line")?;
            self.lines.insert(imsi(n), line.to_owned());
            let held = self.world.hss.line(line).with_context(|| format!("the HSS does not hold {line}"))?;
            ensure!(held.state == HeldState::Active, "the HSS holds {line} as {:?}", held.state);
        }
        told("the HSS front end holds 20 lines; every order is completed");
        for modem in &self.world.modems {
            let reached =
                modem.state_within(linegate_simulators::modem::LineState::Active, Duration::from_secs(10)).await;
            ensure!(reached, "{} did not learn that it is active", modem.device());
        }
        told("20 modems were told over MQTT, and reported back");
        self.world.mme.attach(&imsi(1)).await.map_err(|e| anyhow::anyhow!("attach: {e}"))?;
        told("line 1 attaches: the MME asked with ULR and got its subscription data");
        let waiting = self.rest().get(&format!("{ORDERS}?externalId=home-1")).await?;
        let path = format!("{ORDERS}/{}", waiting[0]["id"].as_str().context("an order without id")?);
        let waiting = self.wait("home-1 to wait", &path, |order| order["state"] == "pending").await?;
        told(format!("internet + TV orders are pending: {}", waiting["jeopardyAlert"][0]["message"]));
        self.world.olt.reconnect();
        told("the OLT is back");
        Ok(())
    }

    async fn visits(&self) -> anyhow::Result<()> {
        chapter("4. Visits: the desk calls, workers go");
        for n in 1..=HOMES {
            let state = if n == RETURNED_HOME { "failed" } else { "completed" };
            self.ended(&home(n), state).await?;
        }
        told("4 homes are connected; home 2 was reached at the second call");
        told("the worker could not get in at home 3: internet and TV were undone on OLT and head end");
        Ok(())
    }

    fn count(&mut self, n: usize, octets: u64) {
        *self.own_octets.entry(imsi(n)).or_default() += octets;
    }

    async fn usage(&mut self) -> anyhow::Result<()> {
        chapter("5. Usage comes in four ways");
        self.gy_usage().await.context("Gy")?;
        self.rf_usage().await.context("Rf")?;
        self.modem_usage().await.context("MQTT")?;
        self.file_usage().await.context("charging file")?;
        Ok(())
    }

    /// Lines 1 to 8, the last of them open until its line is suspended.
    async fn gy_usage(&mut self) -> anyhow::Result<()> {
        for n in 1..=7 {
            let (session, answer) = self.world.pgw.open_session(SessionConfig::new(&imsi(n), APN)).await?;
            ensure!(answer.is_success() && answer.granted_octets() > 0, "CCR-I of line {n}: {answer:?}");
            for _ in 0..3 {
                let answer = session.report(400_000, 600_000).await?;
                ensure!(answer.is_success(), "CCR-U of line {n}: {answer:?}");
                self.count(n, 1_000_000);
            }
            session.consume(50_000, 50_000);
            self.count(n, 100_000);
            let answer = session.terminate().await?;
            ensure!(answer.is_success(), "CCR-T of line {n}: {answer:?}");
        }
        let (foreign, answer) = self.world.pgw.open_session(SessionConfig::new(&imsi(7), FOREIGN_APN)).await?;
        ensure!(answer.granted_octets() == 0, "a foreign APN was granted quota");
        foreign.consume(5_000, 5_000);
        self.suspense_octets += 10_000;
        let _answer = foreign.terminate().await?;
        told("Gy: 7 lines, 3.1 MB each, every grant within what was left; a session on a foreign APN got nothing");
        Ok(())
    }

    async fn rf_usage(&mut self) -> anyhow::Result<()> {
        for n in 9..=12 {
            let (mut session, code) = self.world.pgw.start_accounting(&imsi(n), APN).await?;
            ensure!(code == 2001, "ACR start of line {n}: {code}");
            ensure!(session.interim(200_000, 300_000).await? == 2001, "ACR interim of line {n}");
            ensure!(session.stop(20_000, 30_000).await? == 2001, "ACR stop of line {n}");
            self.count(n, 550_000);
        }
        told("Rf: 4 lines, start, interim, stop");
        Ok(())
    }

    async fn modem_usage(&mut self) -> anyhow::Result<()> {
        for n in 13..=18 {
            for _ in 0..5 {
                let sent = self.world.modems[n - 1].send_usage(&UsageSample::of_now(APN, 40_000, 60_000))?;
                sent.acknowledged().await?;
                self.count(n, 100_000);
            }
        }
        ensure!(self.world.modems[12].send_last_again(), "no record to send again");
        let foreign = self.world.modems[17].send_usage(&UsageSample::of_now(FOREIGN_APN, 1_000, 1_000))?;
        foreign.acknowledged().await?;
        self.suspense_octets += 2_000;
        told("MQTT: 6 modems, 5 records each, one sent twice and counted once, one on a foreign APN in suspense");
        Ok(())
    }

    async fn file_usage(&mut self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let start = Timestamp(now.millis() - 60_000);
        let mut file = String::from("record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down\n");
        for n in 19..=20 {
            for row in 0..3 {
                file.push_str(&format!(
                    "cdr-{n}-{row},{},{},{APN},1,{start},{now},100000,200000\n",
                    imsi(n),
                    msisdn(n)
                ));
                self.count(n, 300_000);
            }
        }
        file.push_str(&format!("cdr-unknown,450089999999999,,{APN},1,{start},{now},70,7\n"));
        self.suspense_octets += 77;
        file.push_str("cdr-bad,450080000000019,,iot.example,1,yesterday,today,1,2\n");
        let report = self.rest().upload("/linegate/v1/usageFiles", "demo-1.csv", &file).await?;
        ensure!(report["taken"] == 6 && report["bad"] == 1, "charging file: {report}");
        told("charging file: 6 rows taken, one of an unknown line in suspense, one unreadable and reported by number");
        let again = self.rest().upload("/linegate/v1/usageFiles", "demo-1.csv", &file).await?;
        ensure!(again["alreadyImported"] == true, "the same file again: {again}");
        told("the same file again: known by its digest, nothing moved");
        Ok(())
    }

    async fn suspension(&mut self) -> anyhow::Result<()> {
        chapter("6. Line 8 is suspended in the middle of a session");
        let (session, answer) = self.world.pgw.open_session(SessionConfig::new(&imsi(8), APN)).await?;
        ensure!(answer.granted_octets() > 0, "CCR-I of line 8: {answer:?}");
        session.consume(123_000, 77_000);
        self.count(8, 200_000);
        let line = self.lines[&imsi(8)].clone();
        self.submit(&order("suspend-8", "fleet-1", vec![change("modify", &line, "inactive")])).await?;
        self.ended("suspend-8", "completed").await?;
        for _ in 0..200 {
            if !session.is_open() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        ensure!(!session.is_open(), "the session of line 8 was not ended");
        let suspended = linegate_simulators::modem::LineState::Suspended;
        ensure!(self.world.modems[7].state_within(suspended, Duration::from_secs(10)).await, "modem 8 goes on");
        let (_refused, answer) = self.world.pgw.open_session(SessionConfig::new(&imsi(8), APN)).await?;
        ensure!(answer.granted_octets() == 0, "a suspended line was granted quota");
        told(
            "the PGW-C was told with ASR and sent its last usage, which is rated; no new quota; the modem is suspended",
        );
        Ok(())
    }

    async fn termination(&self) -> anyhow::Result<()> {
        chapter("7. Line 20 is terminated, and terminated again");
        let line = self.lines[&imsi(20)].clone();
        self.submit(&order("end-20", "fleet-1", vec![change("delete", &line, "terminated")])).await?;
        self.ended("end-20", "completed").await?;
        let before = self.world.hss.commands_received().len();
        let (status, again) = self
            .rest()
            .post(ORDERS, &order("end-20-again", "fleet-1", vec![change("delete", &line, "terminated")]))
            .await?;
        ensure!(status == 201 && again["state"] == "completed", "second termination: {status} {again}");
        ensure!(again.to_string().contains("already-terminated"), "second termination: {again}");
        ensure!(self.world.hss.commands_received().len() == before, "the second termination reached the HSS");
        told("the second one: 201, completed at once, already-terminated, no command to any element");
        Ok(())
    }

    async fn month(&self) -> anyhow::Result<String> {
        chapter("8. The month is closed");
        let seoul = crate::domain::cycle::Calendar::new(1, "Asia/Seoul")?;
        let cycle = seoul.cycle_at(SystemClock.now()).to_string();
        let body = json!({ "cycle": cycle, "early": true });
        let first = self.rest().follow("/linegate/v1/monthClose", &body).await?;
        let month = &first["settlement"];
        told(format!(
            "{} accounts frozen, {} invoices: net {}, tax {}, gross {} KRW",
            first["accounts"], first["invoices"], month["net"], month["tax"], month["gross"]
        ));
        for row in month["rows"].as_array().into_iter().flatten() {
            told(format!("  {} / {}: {} lines, {} KRW", row["department"], row["product"], row["lines"], row["net"]));
        }
        let second = self.rest().follow("/linegate/v1/monthClose", &body).await?;
        ensure!(first["invoices"] == second["invoices"], "a second close changed the month: {first} {second}");
        told("closed again: nothing changed");
        let invoices = first["invoices"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        ensure!(invoices > 0, "no invoice was made: {first}");
        let departments: std::collections::BTreeSet<&str> =
            month["rows"].as_array().into_iter().flatten().filter_map(|row| row["department"].as_str()).collect();
        let mails = invoices + departments.len();
        ensure!(
            self.world.mail.received_within(mails, Duration::from_secs(20)).await,
            "{} of {mails} mails came",
            self.world.mail.messages().len()
        );
        told(format!(
            "{invoices} invoices went to customers, {} settlements to departments, by mail",
            departments.len()
        ));
        Ok(cycle)
    }
}

fn cellular(n: usize) -> Value {
    let plan = ["iot-payg", "iot-10mb", "iot-capped"][n % 3];
    let characteristics = [
        ("imsi", json!(imsi(n))),
        ("msisdn", json!(msisdn(n))),
        ("deviceId", json!(device(n))),
        ("apns", json!([APN])),
        ("plan", json!(plan)),
        ("phone", json!("821055550001")),
        ("email", json!("fleet@customer.example")),
    ];
    order(&format!("cell-{n}"), "fleet-1", vec![add("cellular", &characteristics)])
}

fn internet_and_tv(n: usize) -> Value {
    let shared = |plan: &str| {
        [
            ("plan", json!(plan)),
            ("address", json!(format!("서울시 중구 세종대로 {n}"))),
            ("phone", json!(format!("82105555100{n}"))),
            ("email", json!(format!("home{n}@customer.example"))),
        ]
    };
    let items = vec![add("internet", &shared("internet-500m")), add("tv", &shared("tv-basic"))];
    order(&home(n), &home(n), items)
}
