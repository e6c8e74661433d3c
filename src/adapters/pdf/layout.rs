//! Places on A4 pages: text, rules and boxes from top to bottom, with page
//! breaks; then the PDF.

use std::path::Path;

use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect, Size, Transform};
use krilla::image::Image;
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;

use super::font::{Measure, Typeface};
use super::template::TemplateError;

/// A4, points.
pub(super) const PAGE_WIDTH: f32 = 595.28;
const PAGE_HEIGHT: f32 = 841.89;
/// Left and right.
pub(super) const MARGIN: f32 = 48.0;
const TOP: f32 = 48.0;
const BOTTOM: f32 = 64.0;
/// Right edge of the content.
pub(super) const RIGHT: f32 = PAGE_WIDTH - MARGIN;

pub(super) type Rgb = [u8; 3];
pub(super) const INK: Rgb = [33, 37, 41];
pub(super) const GREY: Rgb = [110, 118, 126];
pub(super) const PALE: Rgb = [205, 211, 217];

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) color: Rgb,
    pub(super) bold: bool,
}

impl Style {
    pub(super) const fn plain(size: f32) -> Self {
        Self { size, color: INK, bold: false }
    }

    pub(super) const fn grey(size: f32) -> Self {
        Self { size, color: GREY, bold: false }
    }

    pub(super) const fn bold(size: f32) -> Self {
        Self { size, color: INK, bold: true }
    }

    pub(super) const fn colored(self, color: Rgb) -> Self {
        Self { color, ..self }
    }
}

/// A picture for the head of a document.
pub(super) struct Logo {
    data: Vec<u8>,
    /// Width over height.
    ratio: f32,
}

impl Logo {
    pub(super) fn load(path: &Path) -> Result<Self, TemplateError> {
        let fault = |reason: String| TemplateError::Logo { file: path.to_path_buf(), reason };
        let data = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
        let image = Image::from_png(data.clone().into(), true).map_err(|e| fault(format!("it is no PNG: {e}")))?;
        let (width, height) = image.size();
        if width == 0 || height == 0 || width > 4096 || height > 4096 {
            return Err(fault(format!("{width} x {height} pixels, expected 1 to 4096 each")));
        }
        let side = |pixels: u32| f32::from(u16::try_from(pixels).unwrap_or(4096));
        Ok(Self { data, ratio: side(width) / side(height) })
    }
}

enum Op {
    Text { x: f32, y: f32, style: Style, text: String },
    Box { x: f32, y: f32, width: f32, height: f32, color: Rgb },
    Logo { x: f32, y: f32, width: f32, height: f32 },
}

/// Collects what stands where; `y` is the top of what comes next.
pub(super) struct Sheet<'a> {
    pages: Vec<Vec<Op>>,
    pub(super) y: f32,
    pub(super) measure: Measure<'a>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(typeface: &'a Typeface) -> Self {
        Self { pages: vec![Vec::new()], y: TOP, measure: typeface.measure() }
    }

    /// Begins a page where `height` does not fit any more; whether it did.
    pub(super) fn make_room(&mut self, height: f32) -> bool {
        let is_full = self.y + height > PAGE_HEIGHT - BOTTOM && self.y > TOP;
        if is_full {
            self.pages.push(Vec::new());
            self.y = TOP;
        }
        is_full
    }

    fn put(&mut self, op: Op) {
        self.pages.last_mut().expect("a sheet has a page from the start on").push(op);
    }

    /// Text with its baseline at `y`, from `x` on.
    pub(super) fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        if !text.is_empty() {
            self.put(Op::Text { x, y, style, text: text.to_owned() });
        }
    }

    /// Text with its baseline at `y`, up to `right`.
    pub(super) fn text_right(&mut self, right: f32, y: f32, style: Style, text: &str) {
        let width = self.measure.width(text, style.size);
        self.text(right - width, y, style, text);
    }

    /// A filled box.
    pub(super) fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, color: Rgb) {
        self.put(Op::Box { x, y, width, height, color });
    }

    /// A rule over the content's width with its top at `y`.
    pub(super) fn rule(&mut self, y: f32, height: f32, color: Rgb) {
        self.fill(MARGIN, y, RIGHT - MARGIN, height, color);
    }

    /// The logo inside 150 x 42 points, left.
    pub(super) fn logo(&mut self, logo: &Logo, x: f32, y: f32) -> f32 {
        let height = 42.0_f32.min(150.0 / logo.ratio);
        self.put(Op::Logo { x, y, width: height * logo.ratio, height });
        height
    }

    /// Draws everything. `footer` stands at the foot of each page.
    pub(super) fn finish(
        self,
        typeface: &Typeface,
        logo: Option<&Logo>,
        footer: &str,
        about: About,
    ) -> Result<Vec<u8>, String> {
        let logo = match logo {
            Some(logo) => Some(Image::from_png(logo.data.clone().into(), true)?),
            None => None,
        };
        let mut document = Document::new();
        let count = self.pages.len();
        for (i, ops) in self.pages.into_iter().enumerate() {
            let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT).ok_or("a page of no size")?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            let mut pen = Pen { surface: &mut surface, typeface, measure: &self.measure, logo: logo.as_ref() };
            ops.iter().for_each(|op| pen.draw(op));
            pen.foot(footer, &format!("{} / {count}", i + 1));
            surface.finish();
            page.finish();
        }
        document.set_metadata(about.metadata());
        document.finish().map_err(|e| format!("{e:?}"))
    }
}

/// What a document's properties say.
pub(super) struct About {
    pub(super) title: String,
    pub(super) author: String,
    pub(super) id: String,
    pub(super) created: Option<jiff::civil::DateTime>,
}

impl About {
    fn metadata(self) -> Metadata {
        let metadata = Metadata::new()
            .title(self.title)
            .authors(vec![self.author])
            .creator("Linegate".to_owned())
            .producer("Linegate".to_owned())
            .language("ko".to_owned())
            .document_id(self.id);
        let Some(at) = self.created else { return metadata };
        let part = |n: i8| u8::try_from(n).unwrap_or(0);
        let date = DateTime::new(u16::try_from(at.year()).unwrap_or(0))
            .month(part(at.month()))
            .day(part(at.day()))
            .hour(part(at.hour()))
            .minute(part(at.minute()))
            .second(part(at.second()))
            .utc_offset_hour(0)
            .utc_offset_minute(0);
        metadata.creation_date(date)
    }
}

struct Pen<'p, 's> {
    surface: &'p mut Surface<'s>,
    typeface: &'p Typeface,
    measure: &'p Measure<'p>,
    logo: Option<&'p Image>,
}

impl Pen<'_, '_> {
    fn draw(&mut self, op: &Op) {
        match op {
            Op::Text { x, y, style, text } => self.text(*x, *y, *style, text),
            Op::Box { x, y, width, height, color } => self.fill(*x, *y, *width, *height, *color),
            Op::Logo { x, y, width, height } => {
                let (Some(image), Some(size)) = (self.logo, Size::from_wh(*width, *height)) else { return };
                self.surface.push_transform(&Transform::from_translate(*x, *y));
                self.surface.draw_image(image.clone(), size);
                self.surface.pop();
            }
        }
    }

    /// One weight of the font serves: bold is the same outline with a thin
    /// stroke, and stays selectable text.
    fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        let stroke = style.bold.then(|| Stroke {
            paint: color(style.color).into(),
            width: style.size * 0.032,
            ..Stroke::default()
        });
        self.surface.set_fill(Some(solid(style.color)));
        self.surface.set_stroke(stroke);
        let glyphs = self.measure.glyphs(text);
        self.surface.draw_glyphs(Point::from_xy(x, y), &glyphs, self.typeface.font(), text, style.size, false);
        self.surface.set_stroke(None);
    }

    fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, color: Rgb) {
        let Some(rect) = Rect::from_xywh(x, y, width, height) else { return };
        let mut path = PathBuilder::new();
        path.push_rect(rect);
        self.surface.set_fill(Some(solid(color)));
        if let Some(path) = path.finish() {
            self.surface.draw_path(&path);
        }
    }

    fn foot(&mut self, footer: &str, number: &str) {
        let y = PAGE_HEIGHT - 34.0;
        let style = Style::grey(7.5);
        self.fill(MARGIN, y - 14.0, RIGHT - MARGIN, 0.5, PALE);
        self.text(MARGIN, y, style, footer);
        let width = self.measure.width(number, style.size);
        self.text(RIGHT - width, y, style, number);
    }
}

fn color([r, g, b]: Rgb) -> rgb::Color {
    rgb::Color::new(r, g, b)
}

fn solid(c: Rgb) -> Fill {
    Fill { paint: color(c).into(), opacity: NormalizedF32::ONE, rule: Default::default() }
}
