//! A chart as SVG: twice, wide and narrow, of which the page shows the one that fits. Colours are names: the page's
//! style gives each its shade by day and night.

use super::axis::{Axis, Scale};
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use std::error::Error;

/// A colour as it is drawn by day, which the style knows it by.
pub type Colour = RGBColor;
/// Text and axes.
const INK: Colour = RGBColor(0x1b, 0x1f, 0x23);
/// Lines behind the curves.
const GRID: Colour = RGBColor(0xdd, 0xe1, 0xe4);

/// What is drawn.
pub enum Shape {
    /// A closed area.
    Area(Colour, f64, Vec<(f64, f64)>),
    /// A line.
    Line(Colour, Vec<(f64, f64)>),
    /// A dashed line.
    Dashed(Colour, Vec<(f64, f64)>),
    /// Points.
    Dots(Colour, Vec<(f64, f64)>),
}

impl Shape {
    /// Gives it another colour.
    pub fn paint(&mut self, with: Colour) {
        let (Shape::Area(colour, ..) | Shape::Line(colour, _) | Shape::Dashed(colour, _) | Shape::Dots(colour, _)) =
            self;
        *colour = with;
    }
}

/// A chart: its axes' ranges and what is drawn.
pub struct Chart {
    /// What it shows, for who cannot see it.
    pub label: String,
    /// What x counts, from and to.
    pub x: (Scale, f64, f64),
    /// From and to, and whether its ends may be rounded to ticks.
    pub y: (f64, f64),
    /// In order, the last on top.
    pub shapes: Vec<Shape>,
}

/// One of the two forms: its name in the style, its size in CSS pixels, ticks on x.
struct Form {
    class: &'static str,
    width: u32,
    height: u32,
    /// Room for what stands at y.
    left: u32,
    ticks: usize,
}

const FORMS: [Form; 2] = [
    Form { class: "wide", width: 820, height: 250, left: 52, ticks: 8 },
    Form { class: "narrow", width: 340, height: 230, left: 44, ticks: 4 },
];
/// Drawn so many times as large, as places are whole numbers.
const FINE: u32 = 2;
/// Half of "00:00:00", for a tick at the end, CSS pixels.
const RIGHT: u32 = 28;
/// Of text, CSS pixels: the crate draws a font of 15 at 12.
const TEXT: u32 = 15;

impl Chart {
    /// Both forms.
    pub fn render(&self) -> Markup {
        html! { @for form in &FORMS { (self.draw(form)) } }
    }

    fn draw(&self, form: &Form) -> Markup {
        let mut drawing = String::new();
        let (width, height) = (form.width * FINE, form.height * FINE);
        // Nothing is written but a string, and nothing can fail.
        let _ = self.draw_on(&SVGBackend::with_string(&mut drawing, (width, height)).into_drawing_area(), form);
        // The outer tag is ours: it names the chart, and lets its size follow the page's.
        let inner = drawing.split_once('>').map_or("", |(_, inner)| inner);
        let inner = inner.trim_end().trim_end_matches("</svg>");
        html! {
            svg class=(form.class) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.label) {
                (PreEscaped(inner))
            }
        }
    }

    fn draw_on<D: DrawingBackend>(
        &self,
        area: &DrawingArea<D, plotters::coord::Shift>,
        form: &Form,
    ) -> Result<(), Box<dyn Error>>
    where
        D::ErrorType: 'static,
    {
        let (scale, from, to) = self.x;
        let y = Axis::new(Scale::Amount, self.y.0, self.y.1, 5).rounded();
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(TEXT * FINE * 2)
            .y_label_area_size(form.left * FINE)
            .margin_top(TEXT * FINE / 2)
            .margin_right(RIGHT * FINE)
            .build_cartesian_2d(Axis::new(scale, from, to, form.ticks), y)?;
        let text = ("sans-serif", TEXT * FINE).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(FINE))
            .axis_style(INK.stroke_width(FINE))
            .label_style(text)
            .draw()?;
        for shape in &self.shapes {
            match shape {
                Shape::Area(colour, opacity, points) => {
                    chart.draw_series([Polygon::new(points.clone(), colour.mix(*opacity))])?;
                }
                Shape::Line(colour, points) => {
                    chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2 * FINE))])?;
                }
                Shape::Dashed(colour, points) => {
                    let (dash, style) = (5 * FINE, colour.stroke_width(2 * FINE));
                    chart.draw_series(DashedLineSeries::new(points.iter().copied(), dash, dash, style))?;
                }
                Shape::Dots(colour, points) => {
                    chart.draw_series(points.iter().map(|&at| Circle::new(at, 2 * FINE, colour.filled())))?;
                }
            }
        }
        area.present()?;
        Ok(())
    }
}
