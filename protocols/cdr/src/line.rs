//! Lines of a file, and the fields of a line.

use std::io::{BufRead, BufReader, ErrorKind, Read};

/// How a line came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The file is at its end.
    End,
    /// A line, without its line end.
    Whole,
    /// Longer than the limit; passed over to its end.
    TooLong,
}

#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R, bytes_max: usize) -> Self {
        Self { source: BufReader::with_capacity(64 << 10, source), line: Vec::new(), bytes_max: bytes_max.max(1) }
    }

    /// The first bytes of the file, as many as come at once.
    pub(crate) fn peek(&mut self) -> std::io::Result<&[u8]> {
        loop {
            match self.source.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.source.buffer())
    }

    /// Reads the next line into `line`.
    pub(crate) fn next(&mut self) -> std::io::Result<Line> {
        self.line.clear();
        let mut any = false;
        let mut too_long = false;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let len = end.map_or(buffer.len(), |end| end + 1);
            too_long |= self.line.len() + len > self.bytes_max;
            if !too_long {
                self.line.extend_from_slice(&buffer[..len]);
            }
            self.source.consume(len);
            if end.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(match (any, too_long) {
            (false, _) => Line::End,
            (true, true) => Line::TooLong,
            (true, false) => Line::Whole,
        })
    }

    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }
}

/// The fields of one line, kept in one text.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    text: String,
    ends: Vec<usize>,
}

impl Fields {
    /// Splits a line; `false` when its quotes do not match up.
    pub(crate) fn split(&mut self, line: &str, delimiter: char) -> bool {
        self.text.clear();
        self.ends.clear();
        let mut rest = line;
        loop {
            rest = match rest.strip_prefix('"') {
                Some(quoted) => match self.take_quoted(quoted) {
                    Some(rest) => rest,
                    None => return false,
                },
                None => {
                    let end = rest.find(delimiter).unwrap_or(rest.len());
                    self.text.push_str(&rest[..end]);
                    &rest[end..]
                }
            };
            self.ends.push(self.text.len());
            match rest.strip_prefix(delimiter) {
                Some(next) => rest = next,
                None => return rest.is_empty(),
            }
        }
    }

    /// Takes a field behind its opening quote; what follows its closing one.
    fn take_quoted<'a>(&mut self, mut rest: &'a str) -> Option<&'a str> {
        loop {
            let quote = rest.find('"')?;
            self.text.push_str(&rest[..quote]);
            rest = &rest[quote + 1..];
            match rest.strip_prefix('"') {
                Some(next) => {
                    self.text.push('"');
                    rest = next;
                }
                None => return Some(rest),
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field without the blanks around it; empty when there is none.
    pub(crate) fn at(&self, place: usize) -> &str {
        let Some(end) = self.ends.get(place) else {
            return "";
        };
        let start = match place {
            0 => 0,
            _ => self.ends[place - 1],
        };
        self.text[start..*end].trim()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_split_at_delimiters_outside_quotes() {
        let check = |line: &str, expected: Option<&[&str]>| {
            let mut fields = Fields::default();
            let good = fields.split(line, ',');
            let read: Vec<_> = (0..fields.len()).map(|i| fields.at(i)).collect();
            assert_eq!(good.then_some(&read[..]), expected, "{line:?}");
        };
        check("", Some(&[""]));
        check("a", Some(&["a"]));
        check("a,b,", Some(&["a", "b", ""]));
        check(" a , b", Some(&["a", "b"]));
        check(r#""a,b",c"#, Some(&["a,b", "c"]));
        check(r#""a""b","""#, Some(&["a\"b", ""]));
        check(r#""a""b","""""#, Some(&["a\"b", "\""]));
        check(r#""","#, Some(&["", ""]));
        check(r#""a"#, None);
        check(r#""a"b"#, None);
        check(r#"a"b"#, Some(&["a\"b"]));
    }

    proptest! {
        #[test]
        fn what_the_csv_library_writes_is_split_into_the_same_fields(
            fields in proptest::collection::vec("[a-z\", ;é]{0,6}", 1..6),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&fields).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let mut read = Fields::default();
            prop_assert!(read.split(line.trim_end_matches('\n'), ','), "{}", line);
            let read: Vec<_> = (0..read.len()).map(|i| read.at(i).to_owned()).collect();
            let expected: Vec<_> = fields.iter().map(|f| f.trim().to_owned()).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
