//! Invoices and settlements as PDF.
//!
//! Texts, logo and order of blocks come from `config/invoice.toml` or a copy of
//! it; the font from `config/fonts/` or a setting. The same values give the same
//! bytes: nothing in here asks the time. Amounts stay integers until they are
//! text; floats are places on paper.

mod font;
mod invoice;
mod layout;
mod settlement;
mod template;

use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::billing::Invoice;
use crate::domain::cycle::Calendar;
use crate::domain::settlement::Settlement;
use crate::ports::documents::{DocumentError, Documents};

use font::Typeface;
use layout::Logo;
pub use template::{SHIPPED_TEMPLATE, Template, TemplateError};

/// Which template and font documents use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentSettings {
    /// A copy of `config/invoice.toml`; empty means the shipped one.
    pub template: PathBuf,
    /// A TrueType or OpenType font with every character of the documents; empty
    /// means the shipped one (Latin and Korean).
    pub font: PathBuf,
}

/// Draws PDFs.
pub struct PdfDocuments {
    template: Template,
    typeface: Typeface,
    logo: Option<Logo>,
    calendar: Calendar,
}

impl PdfDocuments {
    /// Reads template, font and logo once. `calendar` gives the zone of dates.
    pub fn new(settings: &DocumentSettings, calendar: Calendar) -> Result<Self, TemplateError> {
        let shipped = settings.template.as_os_str().is_empty();
        let template = if shipped { Template::shipped()? } else { Template::load(&settings.template)? };
        let typeface = if settings.font.as_os_str().is_empty() {
            Typeface::shipped()
        } else {
            let read = std::fs::read(&settings.font);
            let data = read.map_err(|e| TemplateError::Font { file: settings.font.clone(), reason: e.to_string() })?;
            Typeface::new(data)
        };
        let typeface = typeface.ok_or_else(|| TemplateError::Font {
            file: settings.font.clone(),
            reason: "it is no TrueType or OpenType font".to_owned(),
        })?;
        let logo = match template.logo_path(&settings.template) {
            Some(path) => Some(Logo::load(&path)?),
            None => None,
        };
        Ok(Self { template, typeface, logo, calendar })
    }
}

impl Documents for PdfDocuments {
    fn invoice_pdf(&self, invoice: &Invoice) -> Result<Vec<u8>, DocumentError> {
        invoice::draw(self, invoice)
            .map_err(|reason| DocumentError { document: format!("invoice {}", invoice.id), reason })
    }

    fn settlement_pdf(&self, settlement: &Settlement, department: Option<&str>) -> Result<Vec<u8>, DocumentError> {
        settlement::draw(self, settlement, department)
            .map_err(|reason| DocumentError { document: format!("settlement {}", settlement.cycle), reason })
    }
}

#[cfg(test)]
mod tests;
