//! The settlement: totals by department and product.

use crate::domain::money::Money;
use crate::domain::settlement::{Settlement, SettlementRow};

use super::PdfDocuments;
use super::invoice::{count, facts, header, octets, plain_amount, tint};
use super::layout::{About, GREY, MARGIN, PALE, RIGHT, Sheet, Style};

/// Right edges of lines, usage, recurring, one-time, usage charges, net.
const RIGHTS: [f32; 6] = [MARGIN + 186.0, MARGIN + 254.0, MARGIN + 320.0, MARGIN + 378.0, MARGIN + 436.0, RIGHT - 4.0];
const PRODUCT: f32 = MARGIN + 92.0;

pub(super) fn draw(
    documents: &PdfDocuments,
    settlement: &Settlement,
    department: Option<&str>,
) -> Result<Vec<u8>, String> {
    let labels = &documents.template.labels;
    let mut sheet = Sheet::new(&documents.typeface);
    header(documents, &mut sheet, &labels.settlement);
    let mut rows = vec![(labels.cycle.clone(), settlement.cycle.to_string())];
    match department {
        Some(name) => rows.push((labels.department.clone(), name.to_owned())),
        None => rows.push((labels.invoices.clone(), count(settlement.invoices))),
    }
    facts(&mut sheet, MARGIN, 92.0, RIGHT - MARGIN - 92.0, &rows);
    sheet.y += 10.0;
    table_head(documents, &mut sheet);
    let departments = settlement.departments();
    for name in departments.iter().filter(|d| department.is_none_or(|wanted| wanted == **d)) {
        let mut total = nothing(name, &labels.subtotal.ko);
        for row in settlement.department(name) {
            table_row(documents, &mut sheet, settlement, row, false);
            add(&mut total, row);
        }
        table_row(documents, &mut sheet, settlement, &total, true);
    }
    if department.is_none() {
        totals(documents, &mut sheet, settlement);
    }
    let scope = department.map(|d| format!("-{d}")).unwrap_or_default();
    let about = About {
        title: format!("{} {}{scope}", labels.settlement.ko, settlement.cycle),
        author: documents.template.company.name.clone(),
        id: format!("settlement-{}{scope}", settlement.cycle),
        created: None,
    };
    let footer = format!("{}  |  {}", documents.template.company.name, settlement.currency.code());
    sheet.finish(&documents.typeface, documents.logo.as_ref(), &footer, about)
}

fn nothing(department: &str, product: &str) -> SettlementRow {
    SettlementRow {
        department: department.to_owned(),
        product: product.to_owned(),
        lines: 0,
        octets: 0,
        recurring: 0,
        one_time: 0,
        usage: 0,
        net: 0,
    }
}

fn add(total: &mut SettlementRow, row: &SettlementRow) {
    total.lines += row.lines;
    total.octets = total.octets.saturating_add(row.octets);
    total.recurring += row.recurring;
    total.one_time += row.one_time;
    total.usage += row.usage;
    total.net += row.net;
}

fn table_head(documents: &PdfDocuments, sheet: &mut Sheet<'_>) {
    let labels = &documents.template.labels;
    let y = sheet.y;
    sheet.fill(MARGIN, y, RIGHT - MARGIN, 24.0, tint(documents.template.document.accent.0));
    for (x, label) in [(MARGIN + 4.0, &labels.department), (PRODUCT, &labels.product)] {
        sheet.text(x, y + 10.5, Style::bold(8.5), &label.ko);
        sheet.text(x, y + 19.0, Style::grey(6.5), &label.en);
    }
    let columns = [&labels.lines, &labels.octets, &labels.recurring, &labels.one_time, &labels.usage, &labels.net];
    for (right, label) in RIGHTS.into_iter().zip(columns) {
        sheet.text_right(right, y + 10.5, Style::bold(8.5), &label.ko);
        sheet.text_right(right, y + 19.0, Style::grey(6.5), &label.en);
    }
    sheet.y += 24.0;
}

fn table_row(
    documents: &PdfDocuments,
    sheet: &mut Sheet<'_>,
    settlement: &Settlement,
    row: &SettlementRow,
    is_total: bool,
) {
    let departments = sheet.measure.wrap(&row.department, 8.5, PRODUCT - MARGIN - 10.0);
    let extra: f32 = departments.iter().skip(1).map(|_| 10.5).sum();
    if sheet.make_room(20.0 + extra) {
        table_head(documents, sheet);
    }
    let style = if is_total { Style::bold(8.0) } else { Style::plain(8.0) };
    let mut y = sheet.y + 12.5;
    if !is_total {
        for part in &departments {
            sheet.text(MARGIN + 4.0, y, style, part);
            y += 10.5;
        }
    }
    let y = sheet.y + 12.5;
    sheet.text(PRODUCT, y, style, &row.product);
    let money = |amount| plain_amount(Money::new(amount, settlement.currency));
    let cells = [
        count(row.lines),
        if row.octets == 0 { "-".to_owned() } else { octets(row.octets) },
        money(row.recurring),
        money(row.one_time),
        money(row.usage),
        money(row.net),
    ];
    for (right, cell) in RIGHTS.into_iter().zip(&cells) {
        sheet.text_right(right, y, style, cell);
    }
    sheet.y += 20.0 + if is_total { 0.0 } else { extra };
    sheet.rule(sheet.y - 0.5, 0.5, if is_total { GREY } else { PALE });
}

/// Tax belongs to invoices, so it has no department.
fn totals(documents: &PdfDocuments, sheet: &mut Sheet<'_>, settlement: &Settlement) {
    let labels = &documents.template.labels;
    sheet.make_room(80.0);
    sheet.y += 12.0;
    let tax = labels.tax.ko.replace("({percent}%)", "").trim().to_owned();
    let rows = [
        (labels.net.ko.clone(), settlement.net, Style::plain(9.5)),
        (tax, settlement.tax, Style::plain(9.5)),
        (labels.gross.ko.clone(), settlement.gross, Style::bold(12.0)),
    ];
    for (label, amount, style) in rows {
        sheet.text(MARGIN + 300.0, sheet.y + 12.0, style, &label);
        let amount = Money::new(amount, settlement.currency).to_string();
        sheet.text_right(RIGHT - 4.0, sheet.y + 12.0, style, &amount);
        sheet.y += 18.0;
    }
}
