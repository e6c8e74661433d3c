//! `linegate explain`: how an amount came about, as a table.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::Value;

use super::Reached;
use crate::config::Config;

/// Records asked for at a time.
const PAGE: &str = "1000";

/// `linegate explain`; the exit code is 1 when the books do not agree.
pub async fn explain(config: Config, line: &str, cycle: &str) -> anyhow::Result<ExitCode> {
    let reached = Reached::new(config).await?;
    let mut after = "0".to_owned();
    let mut first = Value::Null;
    loop {
        let asked = [("line", line), ("cycle", cycle), ("limit", PAGE), ("after", after.as_str())];
        let response = reached.get("explain", &asked)?.send().await.context("ask for the explanation")?;
        let status = response.status();
        let page: Value = response.json().await.context("read the explanation")?;
        if !status.is_success() {
            let said = page["reason"].as_str().unwrap_or("no reason").to_owned();
            reached.leave(ExitCode::FAILURE).await?;
            bail!("the gateway answered {status}: {said}");
        }
        if first.is_null() {
            println!("line {line}, cycle {cycle}, amounts in {}", text(&page["currency"]));
            println!("{:<24} {:<9} {:>14} {:>12}  {:<22} rule", "ended", "source", "octets", "amount", "plan, tariff");
        }
        for record in page["records"].as_array().into_iter().flatten() {
            show(record);
        }
        let next = page["next"].as_u64();
        if first.is_null() {
            first = page;
        }
        match next {
            Some(next) => after = next.to_string(),
            None => break,
        }
    }
    summarize(&first);
    let agrees = first["agrees"] == true;
    reached.leave(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE }).await
}

fn show(record: &Value) {
    let plan = format!("{} v{}", text(&record["plan"]), record["tariffVersion"]);
    let late = record["lateFor"].as_str().map(|cycle| format!(" (late for {cycle})")).unwrap_or_default();
    println!(
        "{:<24} {:<9} {:>14} {:>12}  {plan:<22} {}{late}",
        text(&record["end"]),
        text(&record["source"]),
        record["octets"].to_string(),
        text(&record["price"]),
        text(&record["rule"]),
    );
    let postings = record["postings"].as_array().into_iter().flatten();
    let postings: Vec<String> = postings
        .map(|p| format!("{} {:+} {}", text(&p["side"]), p["amount"].as_i64().unwrap_or(0), text(&p["unit"])))
        .collect();
    println!("    {}  {}", text(&record["id"]), postings.join(", "));
}

fn summarize(page: &Value) {
    println!();
    for row in page["sums"].as_array().into_iter().flatten() {
        let late = row["lateFor"].as_str().map(|cycle| format!(", late for {cycle}")).unwrap_or_default();
        println!("plan {}{late}", text(&row["plan"]));
        for (name, book) in [("records", "its records"), ("totals", "the totals"), ("billed", "the bill")] {
            let sum = &row[name];
            match sum.is_null() {
                true => println!("    {book:<12} nothing yet"),
                false => println!("    {book:<12} {} octets, {} minor units", sum["octets"], sum["amount"]),
            }
        }
    }
    for source in page["sources"].as_array().into_iter().flatten() {
        print!("source {}: {} octets charged", text(&source["source"]), source["charged"]);
        match source["difference"].as_i64() {
            Some(difference) => println!(", {} compared, {difference:+} to what is charged", source["compared"]),
            None => println!(),
        }
    }
    for charge in page["bill"].as_array().into_iter().flatten() {
        println!(
            "bill {}: {} {} {} of {}",
            text(&charge["number"]),
            text(&charge["kind"]),
            text(&charge["plan"]),
            text(&charge["price"]),
            charge["quantity"],
        );
    }
    match page["differences"].as_array() {
        Some(found) if !found.is_empty() => found.iter().for_each(|d| println!("DIFFERS {}", text(d))),
        _ => println!("the books agree"),
    }
}

/// A text; `-` for what is not there.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
