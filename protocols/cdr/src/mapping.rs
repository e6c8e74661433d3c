//! How a file's columns are called, and which of them it has.

use serde::{Deserialize, Serialize};

/// Layout of a charging file. The default is the layout of the design:
/// `record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// What stands between fields: one ASCII character. Default `,`.
    pub delimiter: char,
    /// Names of the columns in the file's header.
    pub columns: Columns,
    /// Columns that the file need not have, by the names of the fields of
    /// [`Columns`]. Only `record_id`, `imsi`, `msisdn`, `apn` and `rating_group`
    /// can be left out. Default: none.
    pub optional: Vec<String>,
}

/// Names of the columns in the file's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The record's own id, which makes its key.
    pub record_id: String,
    /// IMSI, 6 to 15 digits.
    pub imsi: String,
    /// MSISDN, 5 to 15 digits, with or without `+`.
    pub msisdn: String,
    /// Access point name.
    pub apn: String,
    /// Rating group.
    pub rating_group: String,
    /// Start of the usage, RFC 3339.
    pub start: String,
    /// End of the usage, RFC 3339.
    pub end: String,
    /// Octets from the device.
    pub octets_up: String,
    /// Octets to the device.
    pub octets_down: String,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            delimiter: ',',
            columns: Columns::default(),
            optional: Vec::new(),
        }
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            record_id: "record_id".into(),
            imsi: "imsi".into(),
            msisdn: "msisdn".into(),
            apn: "apn".into(),
            rating_group: "rating_group".into(),
            start: "start".into(),
            end: "end".into(),
            octets_up: "octets_up".into(),
            octets_down: "octets_down".into(),
        }
    }
}
