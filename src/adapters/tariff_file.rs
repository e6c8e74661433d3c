//! The price list as TOML or JSON: one file, or a folder with a file for each version.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::domain::tariff::{BadTariff, Tariff, TariffBook, TariffSource, Version};

/// The shipped price list, in force when no file is named.
pub const SHIPPED: &str = include_str!("../../config/tariffs.toml");

/// Most files read from a folder.
const FILES_MAX: usize = 1000;

/// Reads and checks every version, each and against each other: `path` is a file, or a
/// folder whose `.toml` and `.json` files are a version each.
pub fn load(path: &Path) -> Result<TariffBook, TariffFileError> {
    let files = if path.is_dir() { files_in(path)? } else { vec![path.to_path_buf()] };
    let versions =
        files.iter().map(|file| Ok(Version::new(read(file)?, TariffSource::File(file.display().to_string()))));
    let versions: Vec<Version> = versions.collect::<Result<_, _>>()?;
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
    fn a_folder_holds_a_version_in_each_file() {
        let folder = tempfile::tempdir().unwrap();
        let shipped_as = |version: u32, from: Option<&str>| {
            let from = from.map_or(String::new(), |from| format!("effective_from = \"{from}\"\n"));
            SHIPPED.replacen("version = 1\n", &format!("version = {version}\n{from}"), 1)
        };
        let october = "2026-10-01T00:00:00+09:00";
        std::fs::write(folder.path().join("b.toml"), shipped_as(1, None)).unwrap();
        let second = parse(&shipped_as(2, Some(october)), Path::new("a.toml")).unwrap();
        std::fs::write(folder.path().join("a.json"), serde_json::to_string_pretty(&second).unwrap()).unwrap();
        std::fs::write(folder.path().join("README.md"), "no version").unwrap();
        let book = load(folder.path()).unwrap();
        let held = |at: &str| book.at(crate::domain::time::Timestamp::parse(at).unwrap()).version;
        assert_eq!((held("2026-09-30T23:59:59+09:00"), held(october)), (1, 2));
        assert_eq!(book.at(crate::domain::time::Timestamp::parse(october).unwrap()), &second, "JSON says the same");

        std::fs::write(folder.path().join("c.toml"), shipped_as(3, Some(october))).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("version 3") && error.contains("same instant"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(load(empty.path()).unwrap_err().to_string().contains("no .toml or .json"));
        std::fs::write(empty.path().join("x.json"), "{ \"version\": -1 }").unwrap();
        let error = load(empty.path()).unwrap_err().to_string();
        assert!(error.contains("x.json") && error.contains("version"), "{error}");
    }

    #[test]
    fn a_rule_that_cannot_be_is_named_with_its_plan() {
        let payg = "tier = [{ from_octets = 0, price = 3, per_octets = 100_000 }]\n";
        let table = [
            (
                "price = [{ name = \"n\", when = { windows = [\"night\"] }, cost = { per_block = { price = 1, octets = 1 } } }]",
                "price `n`: window `night`",
            ),
            (
                "price = [{ name = \"n\", when = { zones = [\"moon\"] }, cost = { per_block = { price = 1, octets = 1 } } }]",
                "zone `moon`",
            ),
            (
                "price = [{ name = \"n\", when = { apns = [\"x\"] }, cost = { per_block = { price = 1, octets = 1 } } }]",
                "APN `x`",
            ),
            (
                "price = [{ name = \"n\", cost = { per_block = { price = 1, octets = 0 } } }]",
                "octets must be 1 or more",
            ),
            (
                "price = [{ name = \"n\", cost = { volume = [{ from_octets = 0, price = 1, per_octets = 1 }] } }]",
                "source other than gy",
            ),
            ("price = [{ name = \"n\", cost = { per_block = { price = 0.5, octets = 1 } } }]", "in quotes"),
            ("price = [{ name = \"n\", cost = { per_block = { price = -1, octets = 1 } } }]", "not negative"),
            ("price = [{ name = \"n\", cost = { per_unit = { price = 1, octet = 1 } } }]", "octet"),
            ("cap_octets = 1", "neither `price` nor `tier`"),
            (
                "tier = [{ from_octets = 0, price = 3, per_octets = 1 }]\nthreshold = [{ name = \"t\", at = { cap_percent = 5 }, action = \"notify\" }]",
                "threshold `t`: the plan has no cap_octets",
            ),
            (
                "tier = [{ from_octets = 0, price = 3, per_octets = 1 }]\nallowance = [{ name = \"a\", octets = 1 }, { name = \"a\", octets = 1 }]",
                "allowance `a`: another has that name",
            ),
            (
                "tier = [{ from_octets = 0, price = 3, per_octets = 1 }]\nallowance = [{ name = \"a\", octets = 1, pooled = true, rollover = { cycles = 13, octets_max = 1 } }]",
                "rollover needs octets_max above 0 and 1 to 12 cycles",
            ),
            (
                "tier = [{ from_octets = 0, price = 3, per_octets = 1 }]\nallowance = [{ name = \"a\", octets = 1, pooled = true }]\nthreshold = [{ name = \"t\", at = { allowance = { name = \"a\", percent = 100 } }, action = \"suspend\" }]",
                "threshold `t`: a pooled allowance",
            ),
            (
                "tier = [{ from_octets = 0, price = 3, per_octets = 1 }]\nthreshold = [{ name = \"t\", at = { amount = 1 }, action = \"notify\", throttle = { up_bps = 1, down_bps = 1 } }]",
                "threshold `t`: throttle goes with the action `throttle`",
            ),
            (
                "tier = [{ from_octets = 0, price = 3, per_octets = 1 }]\nthreshold = [{ name = \"t\", at = { amount = 1 }, action = \"throttle\", throttle = { up_bps = 1, down_bps = 0 } }]",
                "threshold `t`: throttle: up_bps and down_bps must be 1 or more",
            ),
        ];
        for (usage, fault) in table {
            let text = SHIPPED.replacen(payg, &format!("{usage}\n"), 1);
            assert_ne!(text, SHIPPED);
            let error = parse(&text, Path::new("t.toml")).unwrap_err().to_string();
            assert!(error.contains("iot-payg") && error.contains(fault), "`{error}` lacks `{fault}`");
        }
    }

    #[test]
    fn the_manuals_example_is_a_tariff() {
        let manual = include_str!("../../docs/tariffs.md");
        let examples: Vec<&str> =
            manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let whole = examples.first().unwrap();
        let tariff = parse(whole, Path::new("docs/tariffs.md")).unwrap();
        assert!(tariff.plans.len() > 1 && !tariff.windows.is_empty() && !tariff.zones.is_empty());
        // the other examples are of one price each
        for example in &examples[1..] {
            let text = format!(
                "{}\n[zone]\njapan = [\"440\"]\n[window.night]\nfrom = \"22:00\"\nuntil = \"06:00\"\n[plan.p]\nname = \"P\"\n\
                 product = \"iot\"\ndepartment = \"iot\"\naccess = \"cellular\"\napns = [\"iot.example\"]\nmonthly_fee = 0\n\
                 source = \"file\"\n{example}",
                "version = 1\ncurrency = \"KRW\"\ntax_percent = 10"
            );
            parse(&text, Path::new("docs/tariffs.md")).unwrap_or_else(|e| panic!("{e}: {example}"));
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
        check(capped, &format!("{capped}slice_s = 60\nslice_octets_min = 0\n"), &["iot-capped", "slice_octets_min"]);
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
