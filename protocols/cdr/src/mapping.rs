//! How a file's columns are called, and which of them it has.

use serde::{Deserialize, Serialize};

use crate::times::Times;

/// Layout of a charging file. The default is the layout of the design:
/// `record_id,imsi,msisdn,apn,rating_group,start,end,octets_up,octets_down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// What stands between fields: one ASCII character. Default `,`.
    pub delimiter: char,
    /// Whether the first line names the columns. Without a header [`Self::columns`]
    /// hold their places, from `1`, and a column that the file has not is in
    /// [`Self::optional`]. Default true.
    pub header: bool,
    /// How times are written: `rfc3339` (the default), `unix`, `unix-ms`, or a pattern
    /// such as `%Y%m%d%H%M%S` (strftime; with `%z` the zone is the file's own).
    pub time: String,
    /// The IANA zone of times whose pattern has none. Default `UTC`.
    pub zone: String,
    /// Octets in one unit of `octets_up` and `octets_down`: 1, 1000, 1024 … up to
    /// 2^40. Default 1.
    pub octets_unit: u64,
    /// Names of the columns in the file's header.
    pub columns: Columns,
    /// Columns that the file need not have, by the names of the fields of
    /// [`Columns`]. Only `record_id`, `imsi`, `msisdn`, `apn`, `rating_group` and
    /// `network` can be left out, and `octets_down` (then `octets_up` holds all octets).
    /// Default: none.
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
    /// The serving network, MCC and MNC: `45008` or `450-08`. Empty, the default: the
    /// file tells none.
    pub network: String,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            delimiter: ',',
            header: true,
            time: "rfc3339".into(),
            zone: "UTC".into(),
            octets_unit: 1,
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
            network: String::new(),
        }
    }
}

pub(crate) const COLUMNS: usize = 10;
/// Columns of a file without a header.
const PLACES_MAX: usize = 1000;

/// A column that the gateway knows; its number is its place in all tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    RecordId,
    Imsi,
    Msisdn,
    Apn,
    RatingGroup,
    Start,
    End,
    OctetsUp,
    OctetsDown,
    Network,
}

impl Column {
    pub(crate) const ALL: [Self; COLUMNS] = [
        Self::RecordId,
        Self::Imsi,
        Self::Msisdn,
        Self::Apn,
        Self::RatingGroup,
        Self::Start,
        Self::End,
        Self::OctetsUp,
        Self::OctetsDown,
        Self::Network,
    ];

    /// The name of the field in [`Columns`].
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::RecordId => "record_id",
            Self::Imsi => "imsi",
            Self::Msisdn => "msisdn",
            Self::Apn => "apn",
            Self::RatingGroup => "rating_group",
            Self::Start => "start",
            Self::End => "end",
            Self::OctetsUp => "octets_up",
            Self::OctetsDown => "octets_down",
            Self::Network => "network",
        }
    }

    fn may_be_absent(self) -> bool {
        match self {
            Self::RecordId | Self::Imsi | Self::Msisdn | Self::Apn => true,
            Self::RatingGroup | Self::OctetsDown | Self::Network => true,
            Self::Start | Self::End | Self::OctetsUp => false,
        }
    }
}

impl Mapping {
    /// Whether the mapping can be used at all; the reason when it cannot.
    pub fn check(&self) -> Result<(), String> {
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\r' | '\n' | '\0') {
            return Err(format!(
                "delimiter {:?} is not one ASCII character that may stand between fields",
                self.delimiter
            ));
        }
        if self.octets_unit == 0 || self.octets_unit > 1 << 40 {
            return Err(format!("octets_unit {} is not from 1 to 2^40", self.octets_unit));
        }
        self.times()?;
        for column in Column::ALL.into_iter().filter(|column| !self.header && !self.is_optional(*column)) {
            self.place(column)?;
        }
        for name in &self.optional {
            let known = Column::ALL.iter().find(|column| column.field() == name);
            match known {
                Some(column) if column.may_be_absent() => {}
                Some(_) => return Err(format!("optional: {name:?} cannot be left out")),
                None => return Err(format!("optional: {name:?} is not a column")),
            }
        }
        Ok(())
    }

    pub(crate) fn name(&self, column: Column) -> &str {
        let columns = &self.columns;
        match column {
            Column::RecordId => &columns.record_id,
            Column::Imsi => &columns.imsi,
            Column::Msisdn => &columns.msisdn,
            Column::Apn => &columns.apn,
            Column::RatingGroup => &columns.rating_group,
            Column::Start => &columns.start,
            Column::End => &columns.end,
            Column::OctetsUp => &columns.octets_up,
            Column::OctetsDown => &columns.octets_down,
            Column::Network => &columns.network,
        }
    }

    /// How the file's times are read.
    pub(crate) fn times(&self) -> Result<Times, String> {
        Times::new(&self.time, &self.zone)
    }

    /// The place of a column in a file without a header, from 0.
    pub(crate) fn place(&self, column: Column) -> Result<usize, String> {
        let name = self.name(column);
        let place = name.parse::<usize>().ok().filter(|place| (1..=PLACES_MAX).contains(place));
        place.map(|place| place - 1).ok_or_else(|| {
            format!("columns.{}: {name:?} is not a place from 1 to {PLACES_MAX}, and header is false", column.field())
        })
    }

    pub(crate) fn is_optional(&self, column: Column) -> bool {
        let unnamed = column == Column::Network && self.columns.network.is_empty();
        unnamed || self.optional.iter().any(|name| name == column.field())
    }
}
