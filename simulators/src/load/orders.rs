//! Order load: TMF641 orders that activate cellular lines, so many requests at
//! once. A unit is an order accepted or refused, not an order carried out.

use std::sync::Arc;

use super::{Bounds, Course, Pace, Summary, Tally, conduct};
use crate::lines::LineRange;
use crate::rest::{ActivateCellular, Rest, SERVICE_ORDERS};

/// What to load.
#[derive(Debug, Clone)]
pub struct OrderLoad {
    /// The gateway's URL without a path.
    pub gateway: String,
    /// Bearer token.
    pub token: Option<String>,
    /// Requests under way. Default 8.
    pub concurrency: u64,
    /// The lines to activate, each once; the load is over with the last.
    pub lines: LineRange,
    /// When it stops.
    pub bounds: Bounds,
    /// The gateway's process, for its CPU time.
    pub server_pid: Option<u32>,
}

impl OrderLoad {
    /// The defaults on a gateway.
    pub fn new(gateway: &str) -> Self {
        Self {
            gateway: gateway.into(),
            token: None,
            concurrency: 8,
            lines: LineRange::default(),
            bounds: Bounds::default(),
            server_pid: None,
        }
    }
}

/// Runs it.
pub async fn run(config: OrderLoad) -> anyhow::Result<Summary> {
    let rest = Rest::new(&config.gateway, config.token.as_deref())?;
    let config = Arc::new(config);
    let course = Course::new(config.bounds);
    let started = crate::clock::unix_seconds();
    let tasks = (0..config.concurrency.max(1))
        .map(|task| tokio::spawn(post_all(task, started, rest.clone(), Arc::clone(&config), Arc::clone(&course))))
        .collect();
    Ok(conduct("orders", course, config.server_pid, tasks).await)
}

async fn post_all(task: u64, started: u32, rest: Rest, config: Arc<OrderLoad>, course: Arc<Course>) -> Tally {
    let mut tally = Tally::default();
    let mut pace = Pace::new(config.bounds.rate, config.concurrency, course.began);
    let mut line = task;
    while line < config.lines.lines {
        let now = crate::clock::now();
        let Some(due) = pace.due(now) else {
            if let Some(wake) = pace.wake() {
                tokio::time::sleep_until(wake.into()).await;
            }
            continue;
        };
        if !course.start_one(now) {
            break;
        }
        let imsi = config.lines.imsi(line);
        let order = ActivateCellular {
            external_id: &format!("load-{started}-{imsi}"),
            customer: &format!("customer-{imsi}"),
            imsi: &imsi,
            msisdn: &config.lines.msisdn(line),
            device: &config.lines.device(line),
            apn: &config.lines.apn,
            plan: &config.lines.plan,
        };
        match rest.post(SERVICE_ORDERS, &order.body()).await {
            Ok(answer) => {
                let us = crate::clock::now().duration_since(due).as_micros();
                tally.latency.record(u64::try_from(us).unwrap_or(u64::MAX));
                tally.answered += 1;
                course.answered(1);
                *tally.codes.entry(u32::from(answer.status)).or_default() += 1;
            }
            Err(error) => {
                tracing::debug!("order {imsi}: {error:#}");
                tally.errors += 1;
                tally.unanswered += 1;
            }
        }
        line += config.concurrency.max(1);
    }
    tally
}
