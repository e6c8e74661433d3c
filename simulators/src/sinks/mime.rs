//! Just enough of MIME to look into a message: headers (RFC 5322, RFC 2047),
//! parts and their encodings (RFC 2045, RFC 2046). What cannot be read is given
//! as it came; nothing here refuses a message.

/// Parts within parts, at most.
const DEPTH_MAX: usize = 8;

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// The message as it came, dots unstuffed.
    pub raw: Vec<u8>,
}

/// A part with a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub file_name: String,
    /// Content-Type without parameters.
    pub content_type: String,
    /// Its bytes, decoded.
    pub bytes: Vec<u8>,
}

struct Part {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Mail {
    /// Headers in order, unfolded, encoded words decoded.
    pub fn headers(&self) -> Vec<(String, String)> {
        split(&self.raw).headers
    }

    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<String> {
        find(&self.headers(), name).map(str::to_owned)
    }

    /// Every part with a file name.
    pub fn attachments(&self) -> Vec<Attachment> {
        let named = |part: &Part| {
            let disposition = find(&part.headers, "content-disposition").unwrap_or_default();
            let content_type = find(&part.headers, "content-type").unwrap_or_default();
            let file_name = parameter(disposition, "filename").or_else(|| parameter(content_type, "name"))?;
            Some(Attachment { file_name, content_type: essence(content_type).to_owned(), bytes: part.decoded() })
        };
        self.parts().iter().filter_map(named).collect()
    }

    /// The first text part without a file name, decoded.
    pub fn text(&self) -> String {
        let text = self.parts().into_iter().find(|part| {
            let content_type = find(&part.headers, "content-type").unwrap_or("text/plain");
            let attached = find(&part.headers, "content-disposition").is_some_and(|d| d.contains("filename"));
            essence(content_type).starts_with("text/") && !attached
        });
        text.map_or_else(String::new, |part| String::from_utf8_lossy(&part.decoded()).into_owned())
    }

    /// The parts that hold something themselves.
    fn parts(&self) -> Vec<Part> {
        let mut leaves = Vec::new();
        collect(split(&self.raw), DEPTH_MAX, &mut leaves);
        leaves
    }
}

fn collect(part: Part, depth: usize, leaves: &mut Vec<Part>) {
    let content_type = find(&part.headers, "content-type").unwrap_or_default();
    let boundary = parameter(content_type, "boundary").filter(|_| essence(content_type).starts_with("multipart/"));
    match boundary {
        Some(boundary) if depth > 0 => {
            for inner in pieces(&part.body, &boundary) {
                collect(split(inner), depth - 1, leaves);
            }
        }
        _ => leaves.push(part),
    }
}

/// What stands between the boundary lines.
fn pieces<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mark = format!("--{boundary}");
    let mut found = Vec::new();
    let (mut begin, mut at) = (None, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(mark.as_bytes()) {
            if let Some(begin) = begin {
                found.push(trim_line_end(&body[begin..at]));
            }
            begin = Some(at + line.len());
            if line[mark.len()..].starts_with(b"--") {
                return found;
            }
        }
        at += line.len();
    }
    found
}

fn trim_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn split(raw: &[u8]) -> Part {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let text = String::from_utf8_lossy(trim_line_end(line)).into_owned();
        if text.is_empty() {
            break;
        }
        if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(text.trim_start());
            }
        } else if let Some((name, value)) = text.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    for (_, value) in &mut headers {
        *value = decode_words(value);
    }
    Part { headers, body: raw[at..].to_vec() }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// A parameter of a structured header; the extended form of RFC 2231 too, in
/// one piece or numbered.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut pieces = Vec::new();
    for part in header.split(';').skip(1) {
        let Some((key, value)) = part.split_once('=') else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        if key == name {
            return Some(value.to_owned());
        }
        if key.strip_prefix(name).is_some_and(|rest| rest.starts_with('*')) {
            let value = value.split_once("''").map_or(value, |(_, value)| value);
            pieces.push(if key.ends_with('*') { percent(value) } else { value.as_bytes().to_vec() });
        }
    }
    (!pieces.is_empty()).then(|| String::from_utf8_lossy(&pieces.concat()).into_owned())
}

impl Part {
    fn decoded(&self) -> Vec<u8> {
        let encoding = find(&self.headers, "content-transfer-encoding").unwrap_or_default();
        match encoding.to_ascii_lowercase().as_str() {
            "base64" => base64(&self.body),
            "quoted-printable" => quoted(&self.body, b'=', false),
            _ => self.body.clone(),
        }
    }
}

/// Encoded words `=?utf-8?b?…?=` and `=?utf-8?q?…?=` (RFC 2047); white space
/// between two of them goes.
fn decode_words(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let word = encoded_word(&rest[start + 2..]);
        let Some((decoded, tail)) = word else { break };
        let between = &rest[..start];
        if !(after_word && between.trim().is_empty()) {
            out.extend_from_slice(between.as_bytes());
        }
        out.extend_from_slice(&decoded);
        after_word = true;
        rest = tail;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// The octets of a word behind its `=?`, and what follows it.
fn encoded_word(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut fields = text.splitn(3, '?');
    let (_charset, kind, rest) = (fields.next()?, fields.next()?, fields.next()?);
    let (body, tail) = rest.split_once("?=")?;
    match kind {
        "b" | "B" => Some((base64(body.as_bytes()), tail)),
        "q" | "Q" => Some((quoted(body.as_bytes(), b'=', true), tail)),
        _ => None,
    }
}

fn base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

fn percent(text: &str) -> Vec<u8> {
    quoted(text.as_bytes(), b'%', false)
}

/// Octets written as `escape` and two hexadecimal digits; an escape at the end
/// of a line joins it with the next.
fn quoted(text: &[u8], escape: u8, underscore_is_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        let digits = text.get(at..at + 2).and_then(|two| std::str::from_utf8(two).ok());
        if byte != escape {
            out.push(if underscore_is_space && byte == b'_' { b' ' } else { byte });
        } else if let Some(octet) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            out.push(octet);
            at += 2;
        } else if digits == Some("\r\n") {
            at += 2;
        } else if text.get(at) == Some(&b'\n') {
            at += 1;
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_decoded() {
        let check = |text, expected| assert_eq!(decode_words(text), expected, "{text}");
        check("plain", "plain");
        check("=?utf-8?b?7LKt6rWs7ISc?= 2026-10", "청구서 2026-10");
        check("=?utf-8?q?=EC=B2=AD?= =?utf-8?q?=EA=B5=AC_x?=", "청구 x");
        check("=?broken", "=?broken");
    }

    #[test]
    fn a_multipart_message_gives_its_text_and_attachments() {
        let raw = "Subject: bill\r\nMessage-ID: <a@b>\r\nContent-Type: multipart/mixed;\r\n boundary=\"xx\"\r\n\r\n\
                   --xx\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                   ten =\r\nwon=21\r\n--xx\r\nContent-Type: application/pdf\r\n\
                   Content-Disposition: attachment; filename=\"bill.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
                   JVBE\r\nRg==\r\n--xx--\r\n";
        let mail = Mail { from: String::new(), to: Vec::new(), raw: raw.as_bytes().to_vec() };
        assert_eq!(mail.header("message-id").as_deref(), Some("<a@b>"));
        assert_eq!(mail.text(), "ten won!");
        let attachment = Attachment {
            file_name: "bill.pdf".into(),
            content_type: "application/pdf".into(),
            bytes: b"%PDF".to_vec(),
        };
        assert_eq!(mail.attachments(), [attachment]);
    }
}
