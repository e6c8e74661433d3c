//! Renders a message at the moment it is sent, and hands it to its adapter.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{OutboxSettings, Senders, api_of};
use crate::domain::billing::Invoice;
use crate::domain::cycle::CycleId;
use crate::domain::ids::{InvoiceId, ListenerId};
use crate::domain::money::Money;
use crate::domain::notification::{Body, Message, Recipient};
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::ports::delivery::{DeliveryError, Hook, Mail, Sms};
use crate::ports::documents::{DocumentError, Documents};
use crate::ports::relational::{Relational, StoreError};

type Delivered<T> = Result<T, DeliveryError>;
type Attachment = (String, &'static str, Vec<u8>);

/// Renders and sends one message.
pub(super) async fn send(
    store: &Arc<dyn Relational>,
    senders: &Senders,
    settings: &OutboxSettings,
    now: Timestamp,
    message: &Message,
) -> Delivered<()> {
    match &message.to {
        Recipient::Webhook { listener } => {
            let hook = hook(store.as_ref(), listener, now, message).await?;
            senders.webhooks.send(&hook).await
        }
        Recipient::Sms { phone } => {
            let sender = senders.sms.as_ref().ok_or_else(|| permanent("no SMS gateway is set: set sms.url"))?;
            let Body::Text { text } = &message.body else {
                return Err(permanent("an SMS carries text only"));
            };
            sender.send(&Sms { id: message.id.to_string(), to: phone.clone(), text: text.clone() }).await
        }
        Recipient::Mail { address } => {
            let sender = senders.mail.as_ref().ok_or_else(|| permanent("no mail relay is set: set mail.host"))?;
            let (subject, text, attachments) = mail_body(store.as_ref(), &senders.documents, message).await?;
            let message_id = format!("{}@{}", local_part(message.id.as_str()), settings.mail_domain);
            sender.send(&Mail { message_id, to: address.clone(), subject, text, attachments }).await
        }
    }
}

/// TMF688-shaped; the same bytes at every try, since the signature covers them.
fn event_payload(message: &Message) -> Delivered<Value> {
    let Body::Event { event_type, event, event_id, correlation } = &message.body else {
        return Err(permanent("a webhook carries events only"));
    };
    let id = if event_id.is_empty() { message.id.as_str() } else { event_id };
    let mut payload = json!({
        "eventId": id,
        "eventTime": message.created.to_string(),
        "eventType": event_type,
        "domain": api_of(event_type),
    });
    if let Some(correlation) = correlation {
        payload["correlationId"] = json!(correlation);
    }
    payload["event"] = event.clone();
    Ok(payload)
}

async fn hook(store: &dyn Relational, id: &ListenerId, now: Timestamp, message: &Message) -> Delivered<Hook> {
    let listeners = store.listeners().await.map_err(stored)?;
    let Some(listener) = listeners.into_iter().find(|l| l.id == *id) else {
        return Err(permanent("the listener has unsubscribed"));
    };
    Ok(Hook {
        id: message.id.to_string(),
        callback: listener.callback,
        secret: listener.secret,
        timestamp_secs: now.millis().div_euclid(1000),
        payload: event_payload(message)?.to_string().into_bytes(),
    })
}

async fn mail_body(
    store: &dyn Relational,
    documents: &Arc<dyn Documents>,
    message: &Message,
) -> Delivered<(String, String, Vec<Attachment>)> {
    match &message.body {
        Body::Text { text } => {
            let subject = text.lines().next().unwrap_or_default().chars().take(78).collect();
            Ok((subject, text.clone(), Vec::new()))
        }
        Body::Event { event_type, .. } => {
            let payload = event_payload(message)?;
            let text = format!("{event_type}\n\n{payload:#}\n");
            Ok((event_type.clone(), text, Vec::new()))
        }
        Body::Invoice { invoice } => invoice_mail(store, documents, invoice).await,
        Body::Settlement { cycle, department } => settlement_mail(store, documents, *cycle, department).await,
    }
}

async fn invoice_mail(
    store: &dyn Relational,
    documents: &Arc<dyn Documents>,
    id: &InvoiceId,
) -> Delivered<(String, String, Vec<Attachment>)> {
    let Some(invoice) = store.invoice(id).await.map_err(stored)? else {
        return Err(permanent(format!("invoice {id} is not known")));
    };
    let number = invoice.number.as_ref().map_or_else(|| id.to_string(), ToString::to_string);
    let subject = format!("[Linegate] {} 청구서 {number}", invoice.cycle);
    let text = format!(
        "{} 이용 요금 청구서를 보내드립니다.\nYour bill for {} is attached.\n\n청구서 번호 / Invoice: {number}\n{}\n",
        invoice.cycle,
        invoice.cycle,
        sum_of(&invoice)
    );
    let drawn = documents.clone();
    let pdf = draw(move || drawn.invoice_pdf(&invoice)).await?;
    Ok((subject, text, vec![(format!("invoice-{number}.pdf"), "application/pdf", pdf)]))
}

fn sum_of(invoice: &Invoice) -> String {
    let money = |amount| Money::new(amount, invoice.currency);
    match invoice.credit() {
        0 => format!("합계 / Total: {}", money(invoice.due())),
        credit => {
            format!("돌려드릴 금액 / Credit balance: {}\n납부하실 금액이 없습니다. / Nothing to pay.", money(credit))
        }
    }
}

async fn settlement_mail(
    store: &dyn Relational,
    documents: &Arc<dyn Documents>,
    cycle: CycleId,
    department: &str,
) -> Delivered<(String, String, Vec<Attachment>)> {
    let Some(settlement) = store.settlement(cycle).await.map_err(stored)? else {
        return Err(permanent(format!("settlement {cycle} is not known")));
    };
    let own = of_department(&settlement, department);
    let net = Money::new(own.net, own.currency);
    let subject = format!("[Linegate] {cycle} 정산 {department}");
    let text = format!(
        "{cycle} 정산 내역입니다 ({department}).\nSettlement of {cycle} for {department}.\n\n공급가액 / Net: {net}\n"
    );
    let json = serde_json::to_vec_pretty(&own).map_err(|e| permanent(format!("render settlement {cycle}: {e}")))?;
    let csv = settlement_csv(&own).into_bytes();
    let (drawn, whom) = (documents.clone(), department.to_owned());
    let pdf = draw(move || drawn.settlement_pdf(&settlement, Some(&whom))).await?;
    let name = format!("settlement-{cycle}");
    let attachments = vec![
        (format!("{name}.csv"), "text/csv", csv),
        (format!("{name}.json"), "application/json", json),
        (format!("{name}.pdf"), "application/pdf", pdf),
    ];
    Ok((subject, text, attachments))
}

/// One department's rows with their own totals. Tax is charged once an invoice
/// and not by department, so only the net can be stated here.
fn of_department(whole: &Settlement, department: &str) -> Settlement {
    let rows: Vec<_> = whole.rows.iter().filter(|r| r.department == department).cloned().collect();
    let net = rows.iter().map(|r| r.net).sum();
    Settlement { cycle: whole.cycle, currency: whole.currency, invoices: whole.invoices, tax: 0, gross: net, net, rows }
}

/// RFC 4180, with a header; amounts in the currency's decimal form.
pub fn settlement_csv(settlement: &Settlement) -> String {
    let mut csv = String::from("cycle,department,product,lines,octets,recurring,one_time,usage,net,currency\r\n");
    let money = |minor| Money::new(minor, settlement.currency).decimal();
    for row in &settlement.rows {
        let cells = [
            settlement.cycle.to_string(),
            quoted(&row.department),
            quoted(&row.product),
            row.lines.to_string(),
            row.octets.to_string(),
            money(row.recurring),
            money(row.one_time),
            money(row.usage),
            money(row.net),
            settlement.currency.code().to_owned(),
        ];
        csv.push_str(&cells.join(","));
        csv.push_str("\r\n");
    }
    csv
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The local part of a Message-ID (RFC 5322 dot-atom): other characters are
/// written as their code in hexadecimal, so that two ids never become one.
fn local_part(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for c in id.chars() {
        if c.is_ascii_alphanumeric() || c == '-' {
            out.push(c);
        } else {
            out.push_str(&format!("_{:x}_", u32::from(c)));
        }
    }
    out
}

async fn draw<F>(f: F) -> Delivered<Vec<u8>>
where
    F: FnOnce() -> Result<Vec<u8>, DocumentError> + Send + 'static,
{
    match tokio::task::spawn_blocking(f).await {
        Ok(drawn) => drawn.map_err(|e| permanent(e.to_string())),
        Err(e) => Err(transient(format!("draw document: {e}"))),
    }
}

fn stored(e: StoreError) -> DeliveryError {
    transient(e.to_string())
}

fn transient(reason: impl Into<String>) -> DeliveryError {
    DeliveryError::Transient { reason: reason.into() }
}

fn permanent(reason: impl Into<String>) -> DeliveryError {
    DeliveryError::Permanent { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;
    use crate::domain::settlement::SettlementRow;

    #[test]
    fn a_settlement_row_becomes_a_csv_line_with_its_minor_unit() {
        let row = SettlementRow {
            department: "IoT, \"B2B\"".into(),
            product: "iot".into(),
            lines: 2,
            octets: 10_000_000,
            recurring: 12_000,
            one_time: 0,
            usage: 300,
            net: 12_300,
        };
        let settlement = Settlement {
            cycle: "2026-10".parse().unwrap(),
            currency: Currency::KRW,
            rows: vec![row],
            invoices: 1,
            net: 12_300,
            tax: 1_230,
            gross: 13_530,
        };
        let csv = settlement_csv(&settlement);
        assert_eq!(csv.lines().nth(1), Some("2026-10,\"IoT, \"\"B2B\"\"\",iot,2,10000000,12000,0,300,12300,KRW"));
    }

    #[test]
    fn a_message_id_keeps_different_ids_apart() {
        assert_eq!(local_part("0199-ab"), "0199-ab");
        assert_eq!(local_part("invoice/한"), "invoice_2f__d55c_");
        assert_ne!(local_part("a/b"), local_part("a_2f_b"));
    }
}
