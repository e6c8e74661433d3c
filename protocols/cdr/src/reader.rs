//! The streaming reader.

use std::io::Read;

use crate::line::{Fields, Line, Lines};
use crate::mapping::{COLUMNS, Column};
use crate::row::Layout;
use crate::{Mapping, Row, RowError, RowErrorReason, asn1};

/// Characters of a bad row that its error shows.
const TEXT_CHARS_MAX: usize = 512;

/// Limits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest row in bytes with its line end, header included. Default 64 KiB,
    /// at least 1.
    pub row_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { row_bytes_max: 64 << 10 }
    }
}

/// Why a file is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The header lacks a column.
    #[error("read header: column {0:?} is missing")]
    MissingColumn(String),
    /// The header has a column twice.
    #[error("read header: column {0:?} stands twice")]
    RepeatedColumn(String),
    /// The file is empty.
    #[error("read header: the file is empty")]
    Empty,
    /// The header is too long, not UTF-8, or its quotes do not match up.
    #[error("read header: {0}")]
    BadHeader(RowErrorReason),
    /// The mapping cannot be used.
    #[error("use mapping: {0}")]
    BadMapping(String),
    /// A compressed file.
    #[error("this is a {0} file; decompress it first")]
    Compressed(&'static str),
    /// ASN.1 charging records.
    #[error("this is an ASN.1 charging file (3GPP TS 32.298: {0}); only CSV is read, convert it first")]
    Asn1(&'static str),
    /// The source failed.
    #[error("read header")]
    Source(#[source] std::io::Error),
}

/// Streams the rows of a charging file.
///
/// Holds one row at a time. Empty lines are passed over and have no number;
/// columns that the mapping does not name are passed over.
#[derive(Debug)]
pub struct Reader<R: Read> {
    lines: Lines<R>,
    fields: Fields,
    layout: Layout,
    delimiter: char,
    row_bytes_max: usize,
    row_number: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header and checks it against the mapping.
    pub fn new(source: R, mapping: &Mapping, limits: Limits) -> Result<Self, FileError> {
        mapping.check().map_err(FileError::BadMapping)?;
        let mut lines = Lines::new(source, limits.row_bytes_max);
        let start = lines.peek().map_err(FileError::Source)?;
        if let Some(what) = asn1::recognise(start) {
            return Err(FileError::Asn1(what));
        }
        // No text begins with these bytes.
        match start {
            [0x1f, 0x8b, ..] => return Err(FileError::Compressed("gzip")),
            [b'P', b'K', 3, 4, ..] => return Err(FileError::Compressed("ZIP")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(FileError::Compressed("zstd")),
            _ => {}
        }
        if !mapping.header {
            let layout = layout_without_header(mapping).map_err(FileError::BadMapping)?;
            return Ok(Self::behind(lines, layout, mapping, limits));
        }
        match lines.next().map_err(FileError::Source)? {
            Line::Whole => {}
            Line::End => return Err(FileError::Empty),
            Line::TooLong => {
                return Err(FileError::BadHeader(RowErrorReason::TooLong { max: limits.row_bytes_max }));
            }
        }
        let header = std::str::from_utf8(lines.line()).map_err(|_| FileError::BadHeader(RowErrorReason::NotUtf8))?;
        let header = header.strip_prefix('\u{feff}').unwrap_or(header);
        let mut fields = Fields::default();
        if !fields.split(header, mapping.delimiter) {
            return Err(FileError::BadHeader(RowErrorReason::BadQuotes));
        }
        let layout = layout(&fields, mapping)?;
        Ok(Self::behind(lines, layout, mapping, limits))
    }

    fn behind(lines: Lines<R>, layout: Layout, mapping: &Mapping, limits: Limits) -> Self {
        Self {
            lines,
            fields: Fields::default(),
            layout,
            delimiter: mapping.delimiter,
            row_bytes_max: limits.row_bytes_max,
            row_number: 0,
            ended: false,
        }
    }

    /// Rows so far, good and bad.
    pub fn rows(&self) -> u64 {
        self.row_number
    }

    fn error(&self, reason: RowErrorReason) -> RowError {
        use RowErrorReason::{BadQuotes, FieldCount, NotUtf8, Source, TooLong};
        let (record_id, rating_group) = match reason {
            BadQuotes | FieldCount { .. } | NotUtf8 | Source(_) | TooLong { .. } => (None, None),
            _ => self.layout.named(&self.fields),
        };
        let text = match reason {
            Source(_) | TooLong { .. } => String::new(),
            _ => String::from_utf8_lossy(self.lines.line()).chars().take(TEXT_CHARS_MAX).collect(),
        };
        RowError { row_number: self.row_number, reason, text, record_id, rating_group }
    }

    fn row(&mut self) -> Result<Row, RowErrorReason> {
        let line = std::str::from_utf8(self.lines.line()).map_err(|_| RowErrorReason::NotUtf8)?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if !self.fields.split(line, self.delimiter) {
            return Err(RowErrorReason::BadQuotes);
        }
        self.layout.read(self.row_number, &self.fields)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = loop {
            match self.lines.next() {
                Ok(Line::End) => {
                    self.ended = true;
                    return None;
                }
                Ok(Line::Whole) if self.lines.line().is_empty() => {}
                Ok(Line::Whole) => {
                    self.row_number += 1;
                    break self.row();
                }
                Ok(Line::TooLong) => {
                    self.row_number += 1;
                    break Err(RowErrorReason::TooLong { max: self.row_bytes_max });
                }
                Err(error) => {
                    self.ended = true;
                    self.row_number += 1;
                    break Err(RowErrorReason::Source(error.to_string()));
                }
            }
        };
        Some(row.map_err(|reason| self.error(reason)))
    }
}

/// Finds the mapping's columns in the header.
fn layout(header: &Fields, mapping: &Mapping) -> Result<Layout, FileError> {
    let mut places = [None; COLUMNS];
    for column in Column::ALL {
        let name = mapping.name(column);
        if column == Column::Network && name.is_empty() {
            continue;
        }
        let mut found = (0..header.len()).filter(|place| header.at(*place) == name);
        places[column as usize] = match (found.next(), found.next()) {
            (Some(_), Some(_)) => return Err(FileError::RepeatedColumn(name.to_owned())),
            (None, _) if !mapping.is_optional(column) => {
                return Err(FileError::MissingColumn(name.to_owned()));
            }
            (place, _) => place,
        };
    }
    let [imsi, msisdn] = [Column::Imsi, Column::Msisdn];
    if places[imsi as usize].is_none() && places[msisdn as usize].is_none() {
        let both = format!("{} or {}", mapping.name(imsi), mapping.name(msisdn));
        return Err(FileError::MissingColumn(both));
    }
    let names = Column::ALL.map(|column| mapping.name(column).to_owned());
    let times = mapping.times().map_err(FileError::BadMapping)?;
    Ok(Layout { places, names, fields: header.len(), times, octets_unit: mapping.octets_unit })
}

/// The mapping's places. A column that may be left out is, where it has no place.
fn layout_without_header(mapping: &Mapping) -> Result<Layout, String> {
    let mut places = [None; COLUMNS];
    for column in Column::ALL {
        places[column as usize] = match mapping.place(column) {
            Ok(place) => Some(place),
            Err(_) if mapping.is_optional(column) => None,
            Err(reason) => return Err(reason),
        };
    }
    let names = Column::ALL.map(|column| format!("{} (column {})", column.field(), mapping.name(column)));
    Ok(Layout { places, names, fields: 0, times: mapping.times()?, octets_unit: mapping.octets_unit })
}

#[cfg(test)]
mod tests;
