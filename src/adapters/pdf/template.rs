//! The operator's file: company, texts, order of blocks.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The shipped template.
pub const SHIPPED_TEMPLATE: &str = include_str!("../../../config/invoice.toml");

/// What documents say and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub(super) company: Company,
    pub(super) document: Look,
    pub(super) note: Note,
    pub(super) labels: Labels,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Company {
    pub(super) name: String,
    pub(super) name_en: String,
    pub(super) registration_number: String,
    pub(super) representative: String,
    pub(super) address: Vec<String>,
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) logo: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    pub(super) blocks: Vec<Block>,
    pub(super) accent: Color,
    pub(super) footer: String,
    pub(super) rows_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Block {
    Header,
    Parties,
    Summary,
    Totals,
    Charges,
    Note,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    pub(super) title: Label,
    pub(super) text: Vec<String>,
}

/// A text in the customer's language and in a second one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub(super) ko: String,
    #[serde(default)]
    pub(super) en: String,
}

impl Label {
    /// Both in one row.
    pub(super) fn both(&self) -> String {
        if self.en.is_empty() { self.ko.clone() } else { format!("{} {}", self.ko, self.en) }
    }

    /// With `{key}` replaced in both.
    pub(super) fn with(&self, key: &str, value: &str) -> Label {
        let key = format!("{{{key}}}");
        Label { ko: self.ko.replace(&key, value), en: self.en.replace(&key, value) }
    }
}

macro_rules! labels {
    ($($name:ident)+) => {
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Labels {
            $(pub(super) $name: Label,)+
        }
    };
}

labels! {
    invoice settlement bill_to customer account number issued cycle period amount_due credit charges line item
    quantity amount net tax gross recurring one_time usage late days more department product lines octets invoices
    subtotal
}

/// `#RRGGBB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Color(pub(super) [u8; 3]);

impl TryFrom<String> for Color {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = text.strip_prefix('#').and_then(|h| hex::decode(h).ok());
        let rgb = bytes.and_then(|b| <[u8; 3]>::try_from(b).ok());
        rgb.map(Color).ok_or_else(|| format!("`{text}` is no colour: expected #RRGGBB"))
    }
}

impl Template {
    /// The shipped one.
    pub fn shipped() -> Result<Self, TemplateError> {
        Self::parse(SHIPPED_TEMPLATE, Path::new("config/invoice.toml"))
    }

    /// Reads a copy of it.
    pub fn load(path: &Path) -> Result<Self, TemplateError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(e) => Err(TemplateError::Read { file: path.to_path_buf(), reason: e.to_string() }),
        }
    }

    /// Parses and checks `text`; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TemplateError> {
        let file = path.to_path_buf();
        let fault = |key: String, reason: String| TemplateError::Value { file: file.clone(), key, reason };
        let source = toml::Deserializer::parse(text)
            .map_err(|e| TemplateError::Read { file: file.clone(), reason: e.to_string().replace('\n', " ") })?;
        let template: Template = serde_path_to_error::deserialize(source)
            .map_err(|e| fault(e.path().to_string(), e.inner().message().to_owned()))?;
        let blocks = &template.document.blocks;
        let twice = blocks.iter().enumerate().find(|(i, b)| blocks[..*i].contains(b));
        if let Some((_, block)) = twice {
            let reason = format!("`{}` stands twice", format!("{block:?}").to_lowercase());
            return Err(fault("document.blocks".to_owned(), reason));
        }
        Ok(template)
    }

    /// The logo, relative to the template's file.
    pub(super) fn logo_path(&self, template: &Path) -> Option<PathBuf> {
        let logo = &self.company.logo;
        let folder = template.parent().unwrap_or(Path::new(""));
        (!logo.as_os_str().is_empty()).then(|| folder.join(logo))
    }
}

/// A template, font or logo that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read or is no TOML.
    #[error("read document template {}: {reason}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What happened.
        reason: String,
    },
    /// A key is unknown, is missing or has a value that cannot be.
    #[error("read document template {}: {key}: {reason}", file.display())]
    Value {
        /// Which.
        file: PathBuf,
        /// The key, from the top.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The font cannot be used.
    #[error("read document font {}: {reason}", file.display())]
    Font {
        /// Which; empty for the shipped one.
        file: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The logo cannot be used.
    #[error("read document template: company.logo {}: {reason}", file.display())]
    Logo {
        /// Which.
        file: PathBuf,
        /// What happened.
        reason: String,
    },
}
