//! The invoice's blocks.

use crate::domain::billing::{Charge, ChargeKind, Invoice};
use crate::domain::cycle::Calendar;
use crate::domain::money::{Currency, Money};
use crate::domain::time::{Interval, Timestamp};

use super::PdfDocuments;
use super::layout::{About, GREY, MARGIN, PALE, RIGHT, Rgb, Sheet, Style};
use super::template::{Block, Label};

/// Columns of the table of charges: line, item, period, then right edges of
/// quantity and amount.
const ITEM: f32 = MARGIN + 112.0;
const PERIOD: f32 = ITEM + 158.0;
const QUANTITY_RIGHT: f32 = PERIOD + 162.0;

pub(super) fn draw(documents: &PdfDocuments, invoice: &Invoice) -> Result<Vec<u8>, String> {
    let template = &documents.template;
    let mut sheet = Sheet::new(&documents.typeface);
    for block in &template.document.blocks {
        match block {
            Block::Header => header(documents, &mut sheet, &template.labels.invoice),
            Block::Parties => parties(documents, &mut sheet, invoice),
            Block::Summary => summary(documents, &mut sheet, invoice),
            Block::Totals => totals(documents, &mut sheet, invoice),
            Block::Charges => charges(documents, &mut sheet, invoice),
            Block::Note => note(documents, &mut sheet),
        }
    }
    let about = About {
        title: format!("{} {}", template.labels.invoice.ko, number(invoice)),
        author: template.company.name.clone(),
        id: invoice.id.to_string(),
        created: civil(invoice.issued),
    };
    sheet.finish(&documents.typeface, documents.logo.as_ref(), &template.document.footer, about)
}

/// Logo and company at the left, the document's name at the right.
pub(super) fn header(documents: &PdfDocuments, sheet: &mut Sheet<'_>, title: &Label) {
    let company = &documents.template.company;
    let accent = documents.template.document.accent.0;
    let top = sheet.y;
    if let Some(logo) = &documents.logo {
        sheet.y += sheet.logo(logo, MARGIN, top) + 8.0;
    }
    sheet.text(MARGIN, sheet.y + 15.0, Style::bold(14.0), &company.name);
    sheet.text(MARGIN, sheet.y + 28.0, Style::grey(8.5), &company.name_en);
    sheet.text_right(RIGHT, top + 22.0, Style::bold(24.0).colored(accent), &title.ko);
    sheet.text_right(RIGHT, top + 37.0, Style::grey(9.0), &title.en);
    sheet.y += 44.0;
    sheet.rule(sheet.y, 1.6, accent);
    sheet.y += 20.0;
}

/// Who pays at the left, what and when at the right, then who bills.
fn parties(documents: &PdfDocuments, sheet: &mut Sheet<'_>, invoice: &Invoice) {
    let (labels, company) = (&documents.template.labels, &documents.template.company);
    let calendar = &documents.calendar;
    let top = sheet.y;
    heading(documents, sheet, &labels.bill_to);
    let mut left = vec![(labels.customer.clone(), invoice.customer.to_string())];
    left.push((labels.account.clone(), invoice.account.to_string()));
    facts(sheet, MARGIN, 78.0, 160.0, &left);
    sheet.text(MARGIN, sheet.y + 9.0, Style::grey(8.5), invoice.email.as_deref().unwrap_or_default());
    let end_left = sheet.y + 14.0;
    sheet.y = top;
    let right = [
        (labels.number.clone(), number(invoice)),
        (labels.issued.clone(), calendar.local_date(invoice.issued).to_string()),
        (labels.cycle.clone(), invoice.cycle.to_string()),
        (labels.period.clone(), days(calendar, &invoice.span)),
    ];
    facts(sheet, MARGIN + 268.0, 92.0, RIGHT - MARGIN - 268.0 - 92.0, &right);
    sheet.y = sheet.y.max(end_left) + 6.0;
    sheet.rule(sheet.y, 0.5, PALE);
    let lines = [
        format!("{}  |  {}  |  {}", company.name, company.registration_number, company.representative),
        company.address.join("  |  "),
        format!("{}  |  {}", company.phone, company.email),
    ];
    for line in &lines {
        sheet.y += 12.5;
        sheet.text(MARGIN, sheet.y + 2.0, Style::grey(8.0), line);
    }
    sheet.y += 20.0;
}

/// A label and its value in each row; long values take several.
pub(super) fn facts(sheet: &mut Sheet<'_>, x: f32, label_width: f32, width: f32, rows: &[(Label, String)]) {
    for (label, value) in rows {
        sheet.text(x, sheet.y + 9.0, Style::grey(8.5), &label.ko);
        sheet.text(x, sheet.y + 17.5, Style::grey(6.5), &label.en);
        for row in sheet.measure.wrap(value, 9.5, width) {
            sheet.text(x + label_width, sheet.y + 9.5, Style::plain(9.5), &row);
            sheet.y += 12.0;
        }
        sheet.y += 11.0;
    }
}

/// What is to be paid, or is to the customer's credit, in a box.
fn summary(documents: &PdfDocuments, sheet: &mut Sheet<'_>, invoice: &Invoice) {
    let accent = documents.template.document.accent.0;
    let labels = &documents.template.labels;
    let (label, amount) = match invoice.credit() {
        0 => (&labels.amount_due, invoice.due()),
        credit => (&labels.credit, credit),
    };
    sheet.make_room(70.0);
    sheet.fill(MARGIN, sheet.y, RIGHT - MARGIN, 48.0, tint(accent));
    sheet.fill(MARGIN, sheet.y, 3.0, 48.0, accent);
    sheet.text(MARGIN + 16.0, sheet.y + 22.0, Style::bold(11.0), &label.ko);
    sheet.text(MARGIN + 16.0, sheet.y + 35.0, Style::grey(8.0), &label.en);
    let amount = Money::new(amount, invoice.currency).to_string();
    sheet.text_right(RIGHT - 16.0, sheet.y + 32.0, Style::bold(21.0).colored(accent), &amount);
    sheet.y += 48.0 + 24.0;
}

fn charges(documents: &PdfDocuments, sheet: &mut Sheet<'_>, invoice: &Invoice) {
    let labels = &documents.template.labels;
    sheet.make_room(80.0);
    heading(documents, sheet, &labels.charges);
    table_head(documents, sheet);
    let rows_max = documents.template.document.rows_max.max(1);
    let listed = if invoice.charges.len() > rows_max { rows_max - 1 } else { invoice.charges.len() };
    for charge in &invoice.charges[..listed] {
        charge_row(documents, sheet, invoice, charge);
    }
    let rest = &invoice.charges[listed..];
    if !rest.is_empty() {
        make_row_room(documents, sheet, 18.0);
        let label = labels.more.with("n", &rest.len().to_string());
        sheet.text(MARGIN, sheet.y + 12.0, Style::plain(8.5), &label.both());
        let sum = rest.iter().map(|c| c.amount).sum();
        sheet.text_right(RIGHT, sheet.y + 12.0, Style::plain(9.0), &grouped(sum, invoice));
        sheet.y += 18.0;
    }
    sheet.rule(sheet.y, 0.8, GREY);
    sheet.y += 14.0;
}

fn table_head(documents: &PdfDocuments, sheet: &mut Sheet<'_>) {
    let labels = &documents.template.labels;
    let accent = documents.template.document.accent.0;
    let y = sheet.y;
    sheet.fill(MARGIN, y, RIGHT - MARGIN, 24.0, tint(accent));
    for (x, label) in [(MARGIN + 4.0, &labels.line), (ITEM, &labels.item), (PERIOD, &labels.period)] {
        sheet.text(x, y + 10.5, Style::bold(8.5), &label.ko);
        sheet.text(x, y + 19.0, Style::grey(6.5), &label.en);
    }
    for (right, label) in [(QUANTITY_RIGHT, &labels.quantity), (RIGHT - 4.0, &labels.amount)] {
        sheet.text_right(right, y + 10.5, Style::bold(8.5), &label.ko);
        sheet.text_right(right, y + 19.0, Style::grey(6.5), &label.en);
    }
    sheet.y += 24.0;
}

/// A page that a table runs over onto begins with the table's head.
fn make_row_room(documents: &PdfDocuments, sheet: &mut Sheet<'_>, height: f32) {
    if sheet.make_room(height) {
        table_head(documents, sheet);
    }
}

fn charge_row(documents: &PdfDocuments, sheet: &mut Sheet<'_>, invoice: &Invoice, charge: &Charge) {
    let labels = &documents.template.labels;
    let calendar = &documents.calendar;
    let (kind, quantity, period) = match charge.kind {
        ChargeKind::Recurring => {
            let days_charged = labels.days.with("n", &charge.quantity.to_string());
            (labels.recurring.both(), days_charged.ko, days(calendar, &charge.span))
        }
        ChargeKind::OneTime => {
            (labels.one_time.both(), charge.quantity.to_string(), calendar.local_date(charge.span.from).to_string())
        }
        ChargeKind::Usage => (labels.usage.both(), octets(charge.quantity), days(calendar, &charge.span)),
    };
    let late = charge.late_for.map(|cycle| labels.late.with("cycle", &cycle.to_string()).both());
    let kind = late.map_or(kind.clone(), |late| format!("{kind} ({late})"));
    let lines = sheet.measure.wrap(charge.line.as_str(), 8.5, ITEM - MARGIN - 12.0);
    let names = sheet.measure.wrap(&charge.description, 9.0, PERIOD - ITEM - 8.0);
    let kinds = sheet.measure.wrap(&kind, 7.5, PERIOD - ITEM - 8.0);
    let item_height = rows_height(names.len(), 11.0) + rows_height(kinds.len(), 9.5);
    let height = item_height.max(rows_height(lines.len(), 10.5)) + 9.0;
    make_row_room(documents, sheet, height);
    let y = sheet.y;
    stack(sheet, MARGIN + 4.0, y + 12.0, 10.5, Style::plain(8.5), &lines);
    let after = stack(sheet, ITEM, y + 12.0, 11.0, Style::plain(9.0), &names);
    stack(sheet, ITEM, after, 9.5, Style::grey(7.5), &kinds);
    sheet.text(PERIOD, y + 12.0, Style::plain(8.5), &period);
    sheet.text_right(QUANTITY_RIGHT, y + 12.0, Style::plain(8.5), &quantity);
    sheet.text_right(RIGHT - 4.0, y + 12.0, Style::plain(9.5), &grouped(charge.amount, invoice));
    sheet.y += height;
    sheet.rule(sheet.y - 0.5, 0.5, PALE);
}

fn rows_height(rows: usize, each: f32) -> f32 {
    f32::from(u16::try_from(rows).unwrap_or(u16::MAX)) * each
}

/// Rows under each other; the baseline of the next.
fn stack(sheet: &mut Sheet<'_>, x: f32, y: f32, leading: f32, style: Style, rows: &[String]) -> f32 {
    let mut at = y;
    for row in rows {
        sheet.text(x, at, style, row);
        at += leading;
    }
    at
}

fn totals(documents: &PdfDocuments, sheet: &mut Sheet<'_>, invoice: &Invoice) {
    let labels = &documents.template.labels;
    let accent = documents.template.document.accent.0;
    let x = MARGIN + 268.0;
    sheet.make_room(70.0);
    let percent = invoice.tax_percent.to_string();
    for (label, amount) in [(labels.net.clone(), invoice.net), (labels.tax.with("percent", &percent), invoice.tax)] {
        sheet.text(x, sheet.y + 10.0, Style::plain(9.0), &label.ko);
        let at = x + sheet.measure.width(&label.ko, 9.0) + 6.0;
        sheet.text(at, sheet.y + 10.0, Style::grey(7.5), &label.en);
        let amount = Money::new(amount, invoice.currency).to_string();
        sheet.text_right(RIGHT - 4.0, sheet.y + 10.0, Style::plain(9.5), &amount);
        sheet.y += 16.0;
    }
    sheet.fill(x, sheet.y + 1.0, RIGHT - x, 1.0, accent);
    sheet.text(x, sheet.y + 18.0, Style::bold(11.0), &labels.gross.ko);
    let at = x + sheet.measure.width(&labels.gross.ko, 11.0) + 6.0;
    sheet.text(at, sheet.y + 18.0, Style::grey(8.0), &labels.gross.en);
    let gross = Money::new(invoice.gross, invoice.currency).to_string();
    sheet.text_right(RIGHT - 4.0, sheet.y + 18.0, Style::bold(12.0), &gross);
    sheet.y += 44.0;
}

fn note(documents: &PdfDocuments, sheet: &mut Sheet<'_>) {
    let note = &documents.template.note;
    sheet.make_room(50.0);
    heading(documents, sheet, &note.title);
    for paragraph in &note.text {
        for row in sheet.measure.wrap(paragraph, 8.5, RIGHT - MARGIN) {
            sheet.make_room(13.0);
            sheet.text(MARGIN, sheet.y + 9.0, Style::grey(8.5), &row);
            sheet.y += 13.0;
        }
        sheet.y += 3.0;
    }
    sheet.y += 10.0;
}

pub(super) fn heading(documents: &PdfDocuments, sheet: &mut Sheet<'_>, label: &Label) {
    let accent = documents.template.document.accent.0;
    sheet.text(MARGIN, sheet.y + 10.0, Style::bold(10.5).colored(accent), &label.ko);
    let at = MARGIN + sheet.measure.width(&label.ko, 10.5) + 6.0;
    sheet.text(at, sheet.y + 10.0, Style::grey(8.0), &label.en);
    sheet.y += 18.0;
}

/// The accent, nearly white.
pub(super) fn tint(accent: Rgb) -> Rgb {
    accent.map(|c| 255 - (255 - c) / 12)
}

/// First and last day of a stretch; one day stands alone.
pub(super) fn days(calendar: &Calendar, span: &Interval) -> String {
    let first = calendar.local_date(span.from);
    let last = calendar.local_date(Timestamp(span.until.0.saturating_sub(1).max(span.from.0)));
    if first == last { first.to_string() } else { format!("{first} ~ {last}") }
}

/// Decimal megabytes, from a gigabyte on gigabytes, with three digits, rounded
/// up: a started kilobyte shows.
pub(super) fn octets(octets: u64) -> String {
    let (thousandth, unit) = if octets < 1_000_000_000 { (1_000, "MB") } else { (1_000_000, "GB") };
    let thousandths = octets.div_ceil(thousandth);
    format!("{}.{:03} {unit}", count(thousandths / 1000), thousandths % 1000)
}

/// A number grouped for people.
pub(super) fn count(number: u64) -> String {
    plain_amount(Money::new(i64::try_from(number).unwrap_or(i64::MAX), Currency::KRW))
}

/// An amount for a table: grouped, without the currency.
fn grouped(amount: i64, invoice: &Invoice) -> String {
    plain_amount(Money::new(amount, invoice.currency))
}

pub(super) fn plain_amount(money: Money) -> String {
    money.to_string().trim_end_matches(money.currency.code()).trim_end().to_owned()
}

fn number(invoice: &Invoice) -> String {
    invoice.number.as_ref().map(ToString::to_string).unwrap_or_default()
}

pub(super) fn civil(at: Timestamp) -> Option<jiff::civil::DateTime> {
    let at = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(at))
}
