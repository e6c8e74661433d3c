//! The document font: which glyph a character has and how wide it is.
//!
//! Korean syllables and Latin letters are set one glyph a character, without
//! kerning, so a width is a sum and amounts stand exactly under each other.

use std::sync::Arc;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// A subset of an open Korean font; see `docs/decisions`.
const SHIPPED: &[u8] = include_bytes!("../../../config/fonts/LinegateDocument-Regular.ttf");

/// A font that text is set in.
pub(super) struct Typeface {
    data: Arc<Vec<u8>>,
    font: Font,
}

impl Typeface {
    pub(super) fn shipped() -> Option<Self> {
        Self::new(SHIPPED.to_vec())
    }

    /// `None` when `data` is no font.
    pub(super) fn new(data: Vec<u8>) -> Option<Self> {
        FontRef::new(&data).ok()?;
        let data = Arc::new(data);
        let font = Font::new(data.as_ref().clone().into(), 0)?;
        Some(Self { data, font })
    }

    pub(super) fn font(&self) -> Font {
        self.font.clone()
    }

    /// Ready to measure; made once for a document.
    pub(super) fn measure(&self) -> Measure<'_> {
        let font = FontRef::new(&self.data).expect("the font was read when it was loaded");
        let em = Size::new(1.0);
        Measure { charmap: font.charmap(), metrics: font.glyph_metrics(em, LocationRef::default()) }
    }
}

/// Widths and glyphs.
pub(super) struct Measure<'a> {
    charmap: skrifa::charmap::Charmap<'a>,
    metrics: skrifa::metrics::GlyphMetrics<'a>,
}

impl Measure<'_> {
    fn glyph(&self, c: char) -> (skrifa::GlyphId, f32) {
        let id = self.charmap.map(c).unwrap_or_default();
        (id, self.metrics.advance_width(id).unwrap_or(0.0))
    }

    /// Width of `text` in points at `size` points.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.glyph(c).1).sum::<f32>() * size
    }

    pub(super) fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        text.char_indices()
            .map(|(at, c)| {
                let (id, advance) = self.glyph(c);
                let range = at..at + c.len_utf8();
                KrillaGlyph::new(GlyphId::new(id.to_u32()), advance, 0.0, 0.0, 0.0, range, None)
            })
            .collect()
    }

    /// Breaks `text` into rows no wider than `width`: at blanks where there are
    /// any, else inside the word.
    pub(super) fn wrap(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let mut rows = vec![String::new()];
        for word in text.split_whitespace() {
            let row = rows.last_mut().expect("there is a row from the start on");
            let joined = if row.is_empty() { word.to_owned() } else { format!("{row} {word}") };
            if self.width(&joined, size) <= width {
                *row = joined;
                continue;
            }
            if !row.is_empty() {
                rows.push(String::new());
            }
            for c in word.chars() {
                let row = rows.last_mut().expect("there is a row from the start on");
                row.push(c);
                if row.chars().count() > 1 && self.width(row, size) > width {
                    row.pop();
                    rows.push(c.to_string());
                }
            }
        }
        rows
    }
}
