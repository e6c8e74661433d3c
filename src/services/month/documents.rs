//! Settlement, the comparison of the books, and documents into the outbox.

use crate::domain::billing::Invoice;
use crate::domain::ids::MessageId;
use crate::domain::notification::{Body, Message, Recipient};
use crate::domain::settlement::{Settlement, SettlementSum};
use crate::domain::time::Timestamp;
use crate::ports::relational::{CloseRun, CloseState, Page, Write};

use super::{CloseListener, CloseProgress, Month, MonthError};

impl Month {
    /// Adds up what the store holds, compares, mails, and finishes the run.
    pub(super) async fn settle(&self, run: &mut CloseRun, listener: CloseListener<'_>) -> Result<(), MonthError> {
        let settlement = self.add_up(run, listener).await?;
        settlement.check_against(&self.store.ledger_totals(run.cycle).await?)?;
        self.store.save(vec![Write::Settlement(settlement.clone())]).await?;
        let mut messages = self.mail_invoices(run, listener).await?;
        let last = settlement_messages(&settlement, &self.settings, run.started);
        messages += u64::try_from(last.len()).unwrap_or(u64::MAX);
        run.invoices = settlement.invoices;
        run.finished = Some(self.clock.now());
        run.state = CloseState::Done;
        self.save(run, last.into_iter().map(Write::Message).collect()).await?;
        listener(CloseProgress::Documents { messages });
        Ok(())
    }

    async fn add_up(&self, run: &CloseRun, listener: CloseListener<'_>) -> Result<Settlement, MonthError> {
        let mut sum = SettlementSum::new(run.cycle, self.tariff.book().currency());
        let mut page = self.first_page();
        loop {
            let invoices = self.store.invoices(Some(run.cycle), None, page).await?.items;
            invoices.iter().for_each(|i| sum.add(i));
            page.offset += u64::try_from(invoices.len()).unwrap_or(u64::MAX);
            listener(CloseProgress::Settling { invoices: page.offset });
            if invoices.is_empty() {
                return Ok(sum.finish());
            }
        }
    }

    async fn mail_invoices(&self, run: &CloseRun, listener: CloseListener<'_>) -> Result<u64, MonthError> {
        let mut page = self.first_page();
        let mut messages = 0;
        let mut invoices = self.store.invoices(Some(run.cycle), None, page).await?.items;
        while !invoices.is_empty() {
            page.offset += u64::try_from(invoices.len()).unwrap_or(u64::MAX);
            let writes: Vec<Write> = invoices.iter().filter_map(invoice_message).map(Write::Message).collect();
            messages += u64::try_from(writes.len()).unwrap_or(u64::MAX);
            // The next page is read while this one is written.
            let (saved, next) = tokio::join!(self.store.save(writes), self.store.invoices(Some(run.cycle), None, page));
            saved?;
            listener(CloseProgress::Documents { messages });
            invoices = next?.items;
        }
        Ok(messages)
    }

    fn first_page(&self) -> Page {
        Page { offset: 0, limit: self.settings.page_invoices.max(1) }
    }
}

/// The mail with an invoice; none without an address. Created when the invoice
/// was issued, so that a repeat makes the same message.
fn invoice_message(invoice: &Invoice) -> Option<Message> {
    let address = invoice.email.clone()?;
    let id = format!("invoice-{}", invoice.id);
    let body = Body::Invoice { invoice: invoice.id.clone() };
    Some(message(id, address, body, invoice.issued))
}

/// A mail to each address of each department that has revenue.
fn settlement_messages(settlement: &Settlement, settings: &super::BillingSettings, created: Timestamp) -> Vec<Message> {
    let mut messages = Vec::new();
    for name in settlement.departments() {
        let Some(department) = settings.departments.get(name) else { continue };
        for address in &department.mail {
            let id = format!("settlement-{}-{name}-{address}", settlement.cycle);
            let body = Body::Settlement { cycle: settlement.cycle, department: name.to_owned() };
            messages.push(message(id, address.clone(), body, created));
        }
    }
    messages
}

fn message(id: String, address: String, body: Body, created: Timestamp) -> Message {
    Message {
        id: MessageId::new(&id),
        stream: id.clone(),
        once_key: Some(id),
        to: Recipient::Mail { address },
        body,
        created,
    }
}
