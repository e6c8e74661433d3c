//! The self-check: what elements, modems and recipients received over their
//! sockets, against what REST reports.

use std::collections::{BTreeMap, BTreeSet};

use linegate_simulators::element::{ElementHandle, HeldState};
use linegate_simulators::modem::LineState as ModemState;
use serde_json::Value;

use super::rest::Rest;
use super::story::Told;
use super::world::World;

/// Everything that does not agree; empty when all does.
pub async fn compare(world: &World, told: &Told) -> anyhow::Result<Vec<String>> {
    println!("9. The demo checks itself");
    let rest = &world.rest;
    let lines = rest.list("/tmf-api/serviceInventory/v4/service").await?;
    let mut faults = Vec::new();
    let mut check = |what: &str, found: Vec<String>| {
        println!("  {} {what}", if found.is_empty() { "✓" } else { "✗" });
        faults.extend(found);
    };
    check("elements = inventory", elements(world, &lines));
    check("modems = inventory", modems(world, &lines));
    check("orders ended", orders(rest).await?);
    check("usage sent = rated + suspense", usage(told, rest).await?);
    let invoices = rest.list(&format!("/tmf-api/customerBillManagement/v4/customerBill?cycle={}", told.cycle)).await?;
    let settlement = rest.get(&format!("/linegate/v1/settlements/{}", told.cycle)).await?;
    check("postings sum to zero", postings(&settlement));
    check("Σ invoices = settlement", settled(&invoices, &settlement));
    check("invoice numbers without gap", numbers(&invoices));
    check("documents came by mail, with their PDF", mail(world, rest, &invoices).await?);
    check("SMS and callbacks: each state once", messages(world));
    Ok(faults)
}

fn characteristic<'a>(object: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    let entries = object[list].as_array()?;
    entries.iter().find(|entry| entry["name"] == name).map(|entry| &entry["value"])
}

fn elements(world: &World, lines: &[Value]) -> Vec<String> {
    let by_access: BTreeMap<&str, &ElementHandle> =
        [("cellular", &world.hss), ("internet", &world.olt), ("tv", &world.head_end)].into();
    let mut faults = Vec::new();
    let mut known = BTreeSet::new();
    for line in lines {
        let (id, state) = (text(line, "id"), text(line, "state"));
        known.insert(id.to_owned());
        let access = text(&line["serviceSpecification"], "id");
        let Some(element) = by_access.get(access) else {
            faults.push(format!("line {id} has access `{access}`"));
            continue;
        };
        let held = element.line(id).map_or(HeldState::Absent, |l| l.state);
        let agrees = match state {
            "active" => held == HeldState::Active,
            "inactive" => held == HeldState::Suspended,
            "terminated" => held == HeldState::Terminated,
            // An activation that was undone: the element may remember the line as ended.
            _ => matches!(held, HeldState::Absent | HeldState::Terminated),
        };
        if !agrees {
            faults.push(format!("line {id}: inventory {state}, element {held:?}"));
        }
    }
    for element in by_access.values() {
        faults.extend(
            element
                .lines()
                .into_keys()
                .filter(|id| !known.contains(id))
                .map(|id| format!("line {id} is on an element and not in the inventory")),
        );
    }
    faults
}

fn modems(world: &World, lines: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    for modem in &world.modems {
        let line = lines.iter().find(|line| {
            characteristic(line, "serviceCharacteristic", "deviceId").is_some_and(|v| v == modem.device())
        });
        let Some(line) = line else {
            faults.push(format!("{} is on no line", modem.device()));
            continue;
        };
        let wanted = match text(line, "state") {
            "active" => ModemState::Active,
            "inactive" => ModemState::Suspended,
            _ => ModemState::Terminated,
        };
        if modem.state() != Some(wanted) {
            faults.push(format!("{}: inventory {}, modem {:?}", modem.device(), text(line, "state"), modem.state()));
        }
    }
    faults
}

async fn orders(rest: &Rest) -> anyhow::Result<Vec<String>> {
    let orders = rest.list("/tmf-api/serviceOrdering/v4/serviceOrder").await?;
    let open = orders.iter().filter(|o| !["completed", "failed", "cancelled"].contains(&text(o, "state")));
    Ok(open.map(|o| format!("order {} is {}", text(o, "externalId"), text(o, "state"))).collect())
}

async fn usage(told: &Told, rest: &Rest) -> anyhow::Result<Vec<String>> {
    let records = rest.list("/tmf-api/usageManagement/v4/usage").await?;
    let mut rated: BTreeMap<String, u64> = BTreeMap::new();
    let mut suspense = 0;
    for record in &records {
        let octets = characteristic(record, "usageCharacteristic", "octets").and_then(Value::as_u64).unwrap_or(0);
        match text(record, "status") {
            "rejected" => suspense += octets,
            _ => {
                let line = characteristic(record, "usageCharacteristic", "line").and_then(Value::as_str);
                *rated.entry(line.unwrap_or("?").to_owned()).or_default() += octets;
            }
        }
    }
    let mut faults = Vec::new();
    for (imsi, sent) in &told.own_octets {
        let line = &told.lines[imsi];
        let found = rated.remove(line).unwrap_or(0);
        if found != *sent {
            faults.push(format!("line {line}: {sent} octets sent, {found} rated"));
        }
    }
    faults.extend(
        rated.into_iter().filter(|(_, n)| *n > 0).map(|(line, n)| format!("line {line}: {n} octets nobody sent")),
    );
    if suspense != told.suspense_octets {
        faults.push(format!("suspense holds {suspense} octets, {} were sent", told.suspense_octets));
    }
    Ok(faults)
}

fn postings(settlement: &Value) -> Vec<String> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let ledger = settlement["ledger"].as_array().cloned().unwrap_or_default();
    for posting in &ledger {
        *sums.entry(text(posting, "unit").to_owned()).or_default() += posting["amount"].as_i64().unwrap_or(0);
    }
    let unbalanced = sums.iter().filter(|(_, sum)| **sum != 0);
    let mut faults: Vec<String> = unbalanced.map(|(unit, sum)| format!("postings in {unit} sum to {sum}")).collect();
    if ledger.is_empty() {
        faults.push("the month has no postings".to_owned());
    }
    faults
}

fn settled(invoices: &[Value], settlement: &Value) -> Vec<String> {
    let sum = |field: &str| -> i64 { invoices.iter().filter_map(|i| i[field]["value"].as_i64()).sum() };
    let pairs = [("taxExcludedAmount", "net"), ("taxIncludedAmount", "gross")];
    let mut faults: Vec<String> = pairs
        .into_iter()
        .filter(|(of_bill, of_month)| settlement[of_month].as_i64() != Some(sum(of_bill)))
        .map(|(of_bill, of_month)| {
            format!("Σ {of_bill} = {}, settlement {of_month} = {}", sum(of_bill), settlement[of_month])
        })
        .collect();
    let rows: i64 = settlement["rows"].as_array().into_iter().flatten().filter_map(|r| r["net"].as_i64()).sum();
    if settlement["net"].as_i64() != Some(rows) {
        faults.push(format!("settlement rows sum to {rows}, net is {}", settlement["net"]));
    }
    faults
}

fn numbers(invoices: &[Value]) -> Vec<String> {
    let mut numbers: Vec<u64> =
        invoices.iter().filter_map(|i| text(i, "billNo").rsplit_once('-')?.1.parse().ok()).collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (1..=invoices.len() as u64).collect();
    if numbers == expected { Vec::new() } else { vec![format!("invoice numbers are {numbers:?}")] }
}

async fn mail(world: &World, rest: &Rest, invoices: &[Value]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let mails = world.mail.messages();
    let mut ids = BTreeSet::new();
    for mail in &mails {
        ids.insert(mail.header("Message-ID").unwrap_or_default());
    }
    if ids.len() != mails.len() {
        faults.push(format!("{} mails under {} Message-IDs", mails.len(), ids.len()));
    }
    let pdfs = mails.iter().flat_map(|m| m.attachments()).filter(|a| a.bytes.starts_with(b"%PDF")).count();
    if pdfs < invoices.len() {
        faults.push(format!("{} invoices, {pdfs} PDFs by mail", invoices.len()));
    }
    if let Some(first) = invoices.first() {
        let path = format!("/tmf-api/customerBillManagement/v4/customerBill/{}/pdf", text(first, "id"));
        if !rest.bytes(&path).await?.starts_with(b"%PDF") {
            faults.push("the first invoice has no PDF".to_owned());
        }
    }
    Ok(faults)
}

fn messages(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, sink, id) in [("SMS", &world.sms, "body"), ("callback", &world.hook, "header")] {
        let accepted = sink.accepted();
        let ids: BTreeSet<String> = accepted
            .iter()
            .map(|request| match id {
                "header" => request.header("webhook-id").unwrap_or_default().to_owned(),
                _ => request.json().map(|body| text(&body, "id").to_owned()).unwrap_or_default(),
            })
            .collect();
        if accepted.is_empty() {
            faults.push(format!("no {what} came"));
        }
        if ids.len() != accepted.len() {
            faults.push(format!("{} of {what} came under {} ids", accepted.len(), ids.len()));
        }
    }
    faults
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or("")
}
