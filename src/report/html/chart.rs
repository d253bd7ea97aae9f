//! A chart as SVG, in a wide and a narrow form; the page shows the form that fits. The page's style replaces each
//! colour by a shade for light or dark mode.

use super::axis::{Axis, Scale};
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use std::error::Error;

/// A colour in light mode, which is also its name in the page's style.
pub type Colour = RGBColor;
/// The colour of text and axes.
const INK: Colour = RGBColor(0x1b, 0x1f, 0x23);
/// The colour of lines behind the curves.
const GRID: Colour = RGBColor(0xdd, 0xe1, 0xe4);

/// A shape in a chart, in the coordinates of its axes.
pub enum Shape {
    /// A closed area with its opacity, 0 to 1.
    Area(Colour, f64, Vec<(f64, f64)>),
    /// A line.
    Line(Colour, Vec<(f64, f64)>),
    /// A dashed line.
    Dashed(Colour, Vec<(f64, f64)>),
    /// Points.
    Dots(Colour, Vec<(f64, f64)>),
}

impl Shape {
    /// Changes the colour.
    pub fn paint(&mut self, with: Colour) {
        let (Shape::Area(colour, ..) | Shape::Line(colour, _) | Shape::Dashed(colour, _) | Shape::Dots(colour, _)) =
            self;
        *colour = with;
    }
}

/// A chart: the ranges of its axes, and its shapes.
pub struct Chart {
    /// A description for readers who cannot see the chart.
    pub label: String,
    /// The scale of x, and its range.
    pub x: (Scale, f64, f64),
    /// The range of y. Its ends are rounded to ticks.
    pub y: (f64, f64),
    /// The shapes in drawing order: the last is on top.
    pub shapes: Vec<Shape>,
    /// Texts that the browser shows under the pointer: begin and end in x, and the text.
    pub hints: Vec<(f64, f64, String)>,
}

/// One of the two forms: its class in the style, its size in CSS pixels, and the number of ticks on x.
struct Form {
    class: &'static str,
    width: u32,
    height: u32,
    /// Room for the labels of y, CSS pixels.
    left: u32,
    ticks: usize,
}

const FORMS: [Form; 2] = [
    Form { class: "wide", width: 820, height: 250, left: 52, ticks: 8 },
    Form { class: "narrow", width: 340, height: 230, left: 44, ticks: 4 },
];
/// Drawing units in a CSS pixel. Coordinates are whole numbers, so more units give smoother curves.
const UNITS_PER_PIXEL: u32 = 2;
/// Room for half of the label "00:00:00" at the last tick, CSS pixels.
const RIGHT_MARGIN: u32 = 28;
/// Size of text, CSS pixels. `plotters` draws a font of 15 at 12.
const TEXT_SIZE: u32 = 15;

impl Chart {
    /// Draws both forms.
    pub fn render(&self) -> Markup {
        html! { @for form in &FORMS { (self.draw(form)) } }
    }

    fn draw(&self, form: &Form) -> Markup {
        let (mut drawing, mut places) = (String::new(), Vec::new());
        let (width, height) = (form.width * UNITS_PER_PIXEL, form.height * UNITS_PER_PIXEL);
        // Writing into a string cannot fail.
        let area = SVGBackend::with_string(&mut drawing, (width, height)).into_drawing_area();
        let _ = self.draw_on(&area, form, &mut places);
        drop(area);
        // The outer tag is replaced by one with a label, whose size follows the page.
        let inner = drawing.split_once('>').map_or("", |(_, inner)| inner);
        let inner = inner.trim_end().trim_end_matches("</svg>");
        html! {
            svg class=(form.class) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.label) {
                (PreEscaped(inner))
                @for ((left, top, right, bottom), (.., text)) in places.iter().zip(&self.hints) {
                    rect.hint x=(left) y=(top) width=(right - left) height=(bottom - top) { title { (text) } }
                }
            }
        }
    }

    fn draw_on<D: DrawingBackend>(
        &self,
        area: &DrawingArea<D, plotters::coord::Shift>,
        form: &Form,
        places: &mut Vec<(i32, i32, i32, i32)>,
    ) -> Result<(), Box<dyn Error>>
    where
        D::ErrorType: 'static,
    {
        let (scale, from, to) = self.x;
        let y = Axis::new(Scale::Amount, self.y.0, self.y.1, 5).rounded();
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(TEXT_SIZE * UNITS_PER_PIXEL * 2)
            .y_label_area_size(form.left * UNITS_PER_PIXEL)
            .margin_top(TEXT_SIZE * UNITS_PER_PIXEL / 2)
            .margin_right(RIGHT_MARGIN * UNITS_PER_PIXEL)
            .build_cartesian_2d(Axis::new(scale, from, to, form.ticks), y)?;
        let text = ("sans-serif", TEXT_SIZE * UNITS_PER_PIXEL).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(UNITS_PER_PIXEL))
            .axis_style(INK.stroke_width(UNITS_PER_PIXEL))
            .label_style(text)
            .draw()?;
        for shape in &self.shapes {
            match shape {
                Shape::Area(colour, opacity, points) => {
                    chart.draw_series([Polygon::new(points.clone(), colour.mix(*opacity))])?;
                }
                Shape::Line(colour, points) => {
                    chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2 * UNITS_PER_PIXEL))])?;
                }
                Shape::Dashed(colour, points) => {
                    let (dash, style) = (5 * UNITS_PER_PIXEL, colour.stroke_width(2 * UNITS_PER_PIXEL));
                    chart.draw_series(DashedLineSeries::new(points.iter().copied(), dash, dash, style))?;
                }
                Shape::Dots(colour, points) => {
                    chart
                        .draw_series(points.iter().map(|&at| Circle::new(at, 2 * UNITS_PER_PIXEL, colour.filled())))?;
                }
            }
        }
        let (least, most) = (chart.y_range().start, chart.y_range().end);
        places.extend(self.hints.iter().map(|(from, to, _)| {
            let [(left, top), (right, bottom)] = [(*from, most), (*to, least)].map(|at| chart.backend_coord(&at));
            (left, top, right.max(left + 1), bottom)
        }));
        area.present()?;
        Ok(())
    }
}
