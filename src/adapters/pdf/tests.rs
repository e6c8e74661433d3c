use super::*;
use crate::domain::billing::{Charge, ChargeKind, InvoiceNumber};
use crate::domain::money::Currency;
use crate::domain::settlement::SettlementRow;
use crate::domain::time::{Interval, Timestamp};
use std::path::Path;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn documents() -> PdfDocuments {
    PdfDocuments::new(&DocumentSettings::default(), Calendar::new(1, "Asia/Seoul").unwrap()).unwrap()
}

fn charge(kind: ChargeKind, line: &str, name: &str, quantity: u64, amount: i64) -> Charge {
    Charge {
        line: line.into(),
        plan: "p".into(),
        product: "iot".into(),
        department: "iot-business".into(),
        kind,
        description: name.into(),
        span: Interval { from: at("2026-10-01T00:00:00+09:00"), until: at("2026-11-01T00:00:00+09:00") },
        quantity,
        amount,
        late_for: None,
    }
}

fn invoice(lines: usize) -> Invoice {
    let mut charges = Vec::new();
    for n in 1..=lines {
        let line = format!("line-{n:06}");
        charges.push(charge(ChargeKind::Recurring, &line, "IoT 10MB", 31, 1650));
        charges.push(charge(ChargeKind::Usage, &line, "IoT 10MB", 12_345_678, 264));
    }
    let first = charges[0].clone();
    charges.push(charge(ChargeKind::OneTime, "0198f9a1-7c3e-7b57-9d1a-2f6f0c5f7a10", "인터넷 500M", 1, 27_500));
    charges.push(Charge { late_for: Some("2026-09".parse().unwrap()), kind: ChargeKind::Usage, ..first });
    let net: i64 = charges.iter().map(|c| c.amount).sum();
    Invoice {
        id: "inv-2026-10-A1".into(),
        number: Some(InvoiceNumber { series: "2026".into(), number: 42 }),
        account: "A1".into(),
        customer: "C-1001".into(),
        email: Some("customer@customer.example".into()),
        cycle: "2026-10".parse().unwrap(),
        span: Interval { from: at("2026-10-01T00:00:00+09:00"), until: at("2026-11-01T00:00:00+09:00") },
        currency: Currency::KRW,
        charges,
        net,
        tax_percent: 10,
        tax: net / 10,
        gross: net + net / 10,
        issued: at("2026-11-01T00:10:00+09:00"),
    }
}

fn settlement() -> Settlement {
    let row = |department: &str, product: &str, lines, octets, recurring, one_time, usage| SettlementRow {
        department: department.into(),
        product: product.into(),
        lines,
        octets,
        recurring,
        one_time,
        usage,
        net: recurring + one_time + usage,
    };
    let rows = vec![
        row("home-business", "internet", 1200, 0, 39_600_000, 2_750_000, 0),
        row("home-business", "tv", 800, 0, 8_800_000, 440_000, 0),
        row("iot-business", "iot", 100_000, 1_234_567_890_123, 165_000_000, 300_000, 26_400_000),
    ];
    let net = rows.iter().map(|r| r.net).sum::<i64>();
    Settlement {
        cycle: "2026-10".parse().unwrap(),
        currency: Currency::KRW,
        rows,
        invoices: 101_500,
        net,
        tax: net / 10,
        gross: net + net / 10,
    }
}

fn pages(pdf: &[u8]) -> usize {
    pdf.windows(11).filter(|w| w == b"/Type/Page/").count()
}

#[test]
fn the_same_invoice_gives_the_same_bytes() {
    let documents = documents();
    let pdf = documents.invoice_pdf(&invoice(3)).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    assert_eq!(pdf, documents.invoice_pdf(&invoice(3)).unwrap());
    assert!(pdf.len() < 60_000, "{} bytes: only the glyphs in use are embedded", pdf.len());
}

#[test]
fn many_charges_take_more_pages() {
    let documents = documents();
    assert_eq!(pages(&documents.invoice_pdf(&invoice(2)).unwrap()), 1);
    assert!(pages(&documents.invoice_pdf(&invoice(60)).unwrap()) > 2);
}

#[test]
fn a_settlement_is_drawn_whole_and_for_a_department() {
    let documents = documents();
    let whole = documents.settlement_pdf(&settlement(), None).unwrap();
    let part = documents.settlement_pdf(&settlement(), Some("iot-business")).unwrap();
    assert!(whole.starts_with(b"%PDF-") && part.starts_with(b"%PDF-"));
    assert_ne!(whole, part);
}

#[test]
fn a_fault_of_the_template_is_named_with_file_and_key() {
    let check = |from: &str, to: &str, expected: &[&str]| {
        assert!(SHIPPED_TEMPLATE.contains(from), "{from}");
        let text = SHIPPED_TEMPLATE.replacen(from, to, 1);
        let error = Template::parse(&text, Path::new("i.toml")).unwrap_err().to_string();
        for part in expected.iter().chain(&["i.toml"]) {
            assert!(error.contains(part), "`{error}` lacks `{part}`");
        }
    };
    check("\"header\", \"parties\"", "\"header\", \"partys\"", &["document.blocks", "partys"]);
    check("\"header\", \"parties\"", "\"header\", \"header\"", &["document.blocks", "header", "twice"]);
    check("#0B4F9C", "blue", &["document.accent", "#RRGGBB"]);
    check("registration_number =", "registration =", &["company", "registration"]);
    check("line = {", "lines_of = {", &["labels"]);
}

#[test]
fn a_font_or_logo_that_is_none_is_refused_by_name() {
    let calendar = || Calendar::new(1, "Asia/Seoul").unwrap();
    let settings = DocumentSettings { font: "Cargo.toml".into(), ..DocumentSettings::default() };
    let error = PdfDocuments::new(&settings, calendar()).err().unwrap().to_string();
    assert!(error.contains("Cargo.toml"), "{error}");
    let settings = DocumentSettings { template: "no-such.toml".into(), ..DocumentSettings::default() };
    let error = PdfDocuments::new(&settings, calendar()).err().unwrap().to_string();
    assert!(error.contains("no-such.toml"), "{error}");
}

/// Four pixels by two, blue.
const PNG: &str = "89504e470d0a1a0a0000000d4948445200000004000000020802000000f0caea340000001049444154789c63e0f69f03470cc81c005f8207b1595bcdb00000000049454e44ae426082";

#[test]
fn a_logo_stands_beside_the_template_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("own.toml");
    std::fs::write(&template, SHIPPED_TEMPLATE.replace("logo = \"\"", "logo = \"logo.png\"")).unwrap();
    let settings = DocumentSettings { template, ..DocumentSettings::default() };
    let open = || PdfDocuments::new(&settings, Calendar::new(1, "Asia/Seoul").unwrap());
    let error = open().err().unwrap().to_string();
    assert!(error.contains("company.logo") && error.contains("logo.png"), "{error}");
    std::fs::write(folder.path().join("logo.png"), hex::decode(PNG).unwrap()).unwrap();
    let pdf = open().unwrap().invoice_pdf(&invoice(1)).unwrap();
    assert!(pdf.windows(6).any(|w| w == b"/Image"));
}

/// What a PDF reader extracts; `None` where none is installed.
fn read(pdf: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invoice.pdf");
    std::fs::write(&file, pdf).unwrap();
    let Ok(output) = std::process::Command::new("pdftotext").args(["-layout"]).arg(&file).arg("-").output() else {
        eprintln!("pdftotext is not installed: not checked");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_bill_below_zero_asks_for_nothing() {
    let billed = invoice(1);
    let given_back = Invoice { gross: -billed.gross, ..billed };
    let Some(text) = read(&documents().invoice_pdf(&given_back).unwrap()) else { return };
    assert!(text.contains("Credit balance, nothing to pay"), "{text}");
    assert!(!text.contains("Amount due") && !text.contains("청구 금액"), "{text}");
}

/// Korean text can be selected: what a PDF reader extracts is what was written.
#[test]
fn a_reader_extracts_the_korean_text() {
    let Some(text) = read(&documents().invoice_pdf(&invoice(2)).unwrap()) else { return };
    for part in ["청구서", "청구 금액", "라인게이트 통신(주)", "2026-000042", "인터넷 500M", "데이터 사용료", "1,650"]
    {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
}

/// Writes samples for the eye: `cargo test --lib samples_for_the_eye -- --ignored`.
#[test]
#[ignore = "writes files to look at"]
fn samples_for_the_eye() {
    let folder = std::env::temp_dir().join("linegate-documents");
    std::fs::create_dir_all(&folder).unwrap();
    let documents = documents();
    for (name, pdf) in [
        ("short", documents.invoice_pdf(&invoice(2))),
        ("long", documents.invoice_pdf(&invoice(40))),
        ("settlement", documents.settlement_pdf(&settlement(), None)),
    ] {
        std::fs::write(folder.join(format!("{name}.pdf")), pdf.unwrap()).unwrap();
    }
}
