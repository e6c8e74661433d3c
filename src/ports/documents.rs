//! Documents for people.

use crate::domain::billing::Invoice;
use crate::domain::settlement::Settlement;

/// Draws documents. Pure: the same values give the same document.
pub trait Documents: Send + Sync + 'static {
    /// An invoice as PDF with selectable text.
    fn invoice_pdf(&self, invoice: &Invoice) -> Result<Vec<u8>, DocumentError>;

    /// A settlement as PDF, one department's rows or all.
    fn settlement_pdf(&self, settlement: &Settlement, department: Option<&str>) -> Result<Vec<u8>, DocumentError>;
}

/// A document that could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("draw {document}: {reason}")]
pub struct DocumentError {
    /// Which document.
    pub document: String,
    /// What is wrong.
    pub reason: String,
}
