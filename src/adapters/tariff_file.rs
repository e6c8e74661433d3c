//! The price list as TOML or JSON: one file, or a folder with a file for each version.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::domain::tariff::{BadTariff, Tariff, TariffBook};

/// The shipped price list, in force when no file is named.
pub const SHIPPED: &str = include_str!("../../config/tariffs.toml");

/// Most files read from a folder.
const FILES_MAX: usize = 1000;

/// Reads and checks every version: `path` is a file, or a folder whose `.toml` and
/// `.json` files are a version each.
pub fn load(path: &Path) -> Result<TariffBook, TariffFileError> {
    let versions = if path.is_dir() {
        files_in(path)?.iter().map(|file| read(file)).collect::<Result<_, _>>()?
    } else {
        vec![read(path)?]
    };
    TariffBook::new(versions).map_err(|source| TariffFileError::Check { file: path.to_path_buf(), source })
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, TariffFileError> {
    let unread = |reason: String| TariffFileError::Read { file: folder.to_path_buf(), reason };
    let entries = std::fs::read_dir(folder).map_err(|e| unread(e.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| unread(e.to_string()))?.path();
        let is_version = file.extension().is_some_and(|extension| extension == "toml" || extension == "json");
        if is_version {
            files.push(file);
        }
        if files.len() > FILES_MAX {
            return Err(unread(format!("more than {FILES_MAX} versions")));
        }
    }
    if files.is_empty() {
        return Err(unread("no .toml or .json file in it".to_owned()));
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Tariff, TariffFileError> {
    match std::fs::read_to_string(file) {
        Ok(text) => parse(&text, file),
        Err(e) => Err(TariffFileError::Read { file: file.to_path_buf(), reason: e.to_string() }),
    }
}

/// The shipped price list.
pub fn shipped() -> Result<Tariff, TariffFileError> {
    parse(SHIPPED, Path::new("config/tariffs.toml"))
}

/// Parses and checks one version; `path` names it in errors, and its ending says
/// whether it is JSON.
pub fn parse(text: &str, path: &Path) -> Result<Tariff, TariffFileError> {
    let file = path.to_path_buf();
    let syntax = |reason: String| TariffFileError::Syntax { file: path.to_path_buf(), reason: one_line(&reason) };
    let tariff: Tariff = if path.extension().is_some_and(|extension| extension == "json") {
        let mut source = serde_json::Deserializer::from_str(text);
        let tariff = values(&mut source, path, |e: &serde_json::Error| e.to_string())?;
        source.end().map_err(|e| syntax(e.to_string()))?;
        tariff
    } else {
        let source = toml::Deserializer::parse(text).map_err(|e| syntax(e.to_string()))?;
        values(source, path, |e: &toml::de::Error| e.message().to_owned())?
    };
    tariff.check().map_err(|source| TariffFileError::Check { file, source })?;
    Ok(tariff)
}

fn values<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(
    source: D,
    path: &Path,
    reason: impl Fn(&D::Error) -> String,
) -> Result<T, TariffFileError> {
    serde_path_to_error::deserialize(source).map_err(|e| TariffFileError::Value {
        file: path.to_path_buf(),
        key: e.path().to_string(),
        reason: reason(e.inner()),
    })
}

/// The parser draws the line below its message; a log has one line.
fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A price list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffFileError {
    /// It cannot be read.
    #[error("read tariff {}: {reason}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It is no TOML.
    #[error("read tariff {}: {reason}", file.display())]
    Syntax {
        /// Which.
        file: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A key is unknown, is missing or has a value of another kind.
    #[error("read tariff {}: {key}: {reason}", file.display())]
    Value {
        /// Which.
        file: PathBuf,
        /// The key, from the top.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The prices contradict each other.
    #[error("read tariff {}: {source}", file.display())]
    Check {
        /// Which.
        file: PathBuf,
        /// What is wrong; part of the message.
        source: BadTariff,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PlanId;
    use crate::domain::money::Currency;

    #[test]
    fn the_shipped_price_list_has_the_plans_that_are_promised() {
        let tariff = shipped().unwrap();
        assert_eq!((tariff.currency, tariff.tax_percent), (Currency::KRW, 10));
        for plan in ["iot-payg", "iot-10mb", "iot-capped"] {
            let plan = tariff.plan(&PlanId::from(plan)).unwrap();
            assert!(plan.apns.iter().any(|a| a.matches("iot.example")));
        }
        for plan in ["internet-500m", "tv-basic"] {
            assert!(tariff.plan(&PlanId::from(plan)).unwrap().usage.is_none());
        }
        let capped = &tariff.plans[&PlanId::from("iot-capped")].usage;
        assert_eq!(capped.as_ref().unwrap().cap_octets, Some(100_000_000));
    }

    #[test]
    fn a_plan_says_what_follows_its_last_grant() {
        let capped = "slice_octets = 5_000_000\n";
        let url = "final_unit = { redirect = { address_type = \"url\", address = \"https://pay.example/\" } }\n";
        let filters = "final_unit = { restrict = { filter_ids = [\"top-up\"] } }\n";
        for (text, redirects) in [(url, true), (filters, false)] {
            let tariff = parse(&SHIPPED.replacen(capped, &format!("{capped}{text}"), 1), Path::new("t.toml")).unwrap();
            let then = &tariff.plans[&PlanId::from("iot-capped")].quota.final_unit;
            assert_eq!(matches!(then, crate::domain::tariff::FinalUnit::Redirect(_)), redirects, "{then:?}");
        }
    }

    #[test]
    fn a_fault_is_named_with_file_and_key() {
        let check = |from: &str, to: &str, expected: &[&str]| {
            assert!(SHIPPED.contains(from), "{from}");
            let error = parse(&SHIPPED.replacen(from, to, 1), Path::new("t.toml")).unwrap_err().to_string();
            for part in expected.iter().chain(&["t.toml"]) {
                assert!(error.contains(part), "`{error}` lacks `{part}`");
            }
        };
        let capped = "slice_octets = 5_000_000\n";
        let then = |action: &str| format!("{capped}final_unit = {action}\n");
        check(
            capped,
            &then("{ redirect = { address_type = \"url\", address = \"x\" } }"),
            &["iot-capped", "address_type"],
        );
        check(capped, &then("{ restrict = { } }"), &["iot-capped", "filter_ids"]);
        check(capped, &then("\"forget\""), &["plan.iot-capped.quota.final_unit"]);
        check("monthly_fee = 550\n", "monthly_fee = \"550\"\n", &["plan.iot-payg.monthly_fee"]);
        check("monthly_fee = 550\n", "", &["plan.iot-payg", "monthly_fee"]);
        check("monthly_fee = 550\n", "monthly_fee = -1\n", &["iot-payg", "negative"]);
        check("activation_fee = 3000", "activaton_fee = 3000", &["plan.iot-payg", "activaton_fee"]);
        check("currency = \"KRW\"", "currency = \"WON\"", &["currency", "WON"]);
        check("from_octets = 10_000_000", "from_octets = 0", &["iot-10mb", "ascend"]);
        check("version = 1", "version = = 1", &["1"]);
    }
}
