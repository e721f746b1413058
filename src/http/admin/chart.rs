//! Charts as SVG, drawn here. Colours in them stand for those of the style sheet, which knows
//! light and dark; what the pointer reads is in `title` elements, so no script is needed; and each
//! chart has a table beside it that says the same (pages, "Manners").

use std::fmt::Write as _;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::chrome::{number, utc_day};

/// The style sheet turns these into its own: `admin.css`, "Charts".
mod palette {
    use plotters::style::RGBColor;

    pub const SOFT: RGBColor = RGBColor(2, 2, 2);
    pub const LINE: RGBColor = RGBColor(3, 3, 3);
    pub const ACCENT: RGBColor = RGBColor(4, 4, 4);
    /// The parts of a ring: one after the other, from 17 on.
    pub const fn part(n: usize) -> RGBColor {
        let level = 17 + (n % super::PARTS_MAX) as u8;
        RGBColor(level, level, level)
    }
}

/// Colours that the parts of a ring can have.
pub const PARTS_MAX: usize = 8;

/// A point of a trend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Days since 1970.
    pub day: i64,
    /// What is shown.
    pub value: u64,
    /// Where a click on it leads.
    pub href: String,
}

/// Width and height in units of the drawing.
type Size = (u32, u32);
const WIDE: Size = (960, 280);
const NARROW: Size = (400, 240);

/// A line through the days, twice: for a wide page and for a narrow one. `what` says in words
/// what the numbers are.
pub fn trend(id: &str, what: &str, points: &[Point]) -> String {
    let wide = draw_trend(&format!("{id}-wide"), "chart wide", what, points, WIDE).unwrap_or_default();
    let narrow = draw_trend(&format!("{id}-narrow"), "chart narrow", what, points, NARROW).unwrap_or_default();
    wide + &narrow
}

fn draw_trend(id: &str, class: &str, what: &str, points: &[Point], size: Size) -> Option<String> {
    let (first, last) = (points.first()?.day, points.last()?.day);
    let top = nice_top(points.iter().map(|point| point.value).max().unwrap_or(0));
    let (mut svg, mut plot) = (String::new(), (0..1, 0..1));
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        plot = draw_line(&area, points, first..last.max(first + 1), top, size).unwrap_or(plot);
        area.present().ok()?;
    }
    let label = format!("{what}, {} to {}", utc_day(first * 86_400), utc_day(last * 86_400));
    Some(finish(&svg, id, class, &label, size, &hover(points, first..last.max(first + 1), top, &plot)))
}

type Plot = (Range<i32>, Range<i32>);

fn draw_line(area: &DrawingArea<SVGBackend<'_>, Shift>, points: &[Point], days: Range<i64>, top: u64, size: Size) -> Option<Plot> {
    let text = |color: &RGBColor| ("sans-serif", 13).into_font().color(color);
    let labels = if size.0 > 600 { 8 } else { 4 };
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(24)
        .x_label_area_size(26)
        .y_label_area_size(if size.0 > 600 { 64 } else { 52 })
        .build_cartesian_2d(days, 0_u64..top)
        .ok()?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(palette::LINE)
        .axis_style(palette::LINE)
        .x_labels(labels)
        .y_labels(5)
        .x_label_formatter(&|day| utc_day(day * 86_400))
        .y_label_formatter(&|value| number(*value))
        .x_label_style(text(&palette::SOFT))
        .y_label_style(text(&palette::SOFT))
        .draw()
        .ok()?;
    let line = || points.iter().map(|point| (point.day, point.value));
    chart.draw_series(AreaSeries::new(line(), 0, palette::ACCENT.mix(0.12))).ok()?;
    chart.draw_series(LineSeries::new(line(), palette::ACCENT.stroke_width(2))).ok()?;
    if points.len() <= 31 {
        chart.draw_series(line().map(|point| Circle::new(point, 3, palette::ACCENT.filled()))).ok()?;
    }
    let (x, y) = chart.plotting_area().get_pixel_range();
    Some((x, y))
}

/// A band over each day that says its value and leads to its details.
fn hover(points: &[Point], days: Range<i64>, top: u64, plot: &Plot) -> String {
    let (width, height) = (f64::from(plot.0.end - plot.0.start), f64::from(plot.1.end - plot.1.start));
    #[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
    let (span, top) = ((days.end - days.start).max(1) as f64, top.max(1) as f64);
    let step = width / span;
    let mut out = String::new();
    for point in points {
        #[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
        let (x, y) = (f64::from(plot.0.start) + (point.day - days.start) as f64 * step, f64::from(plot.1.end) - point.value as f64 / top * height);
        let title = escape(&format!("{}: {}", utc_day(point.day * 86_400), number(point.value)));
        let _ = write!(
            out,
            r#"<a href="{}" class="day"><title>{title}</title><rect x="{:.1}" y="{}" width="{:.1}" height="{height}"/><circle cx="{x:.1}" cy="{y:.1}" r="4"/></a>"#,
            escape(&point.href),
            x - step / 2.0,
            plot.1.start,
            step.max(1.0),
        );
    }
    out
}

/// A round number at or above the highest value, so that the axis has whole steps.
fn nice_top(highest: u64) -> u64 {
    if highest <= 5 {
        return 5;
    }
    let mut step = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let top = step.saturating_mul(factor).saturating_mul(5);
            if top >= highest {
                return top;
            }
        }
        step = step.saturating_mul(10);
    }
}

/// A ring of parts: name and value each, at most [`PARTS_MAX`]. What is in it is told in `title`
/// elements and, by whoever calls, in a list beside it.
pub fn ring(id: &str, what: &str, parts: &[(String, u64)]) -> String {
    const SIZE: Size = (180, 180);
    let total: u64 = parts.iter().map(|(_, value)| value).sum();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        #[expect(clippy::cast_precision_loss, reason = "a share of a drawing")]
        let (sizes, colors): (Vec<f64>, Vec<RGBColor>) = match total {
            0 => (vec![1.0], vec![palette::LINE]),
            _ => parts.iter().enumerate().map(|(n, (_, value))| (*value as f64, palette::part(n))).unzip(),
        };
        let labels = vec![String::new(); sizes.len()];
        let mut pie = Pie::new(&(90, 90), &84.0, &sizes, &colors, &labels);
        pie.start_angle(-90.0);
        pie.donut_hole(54.0);
        // Nothing can go wrong on a text.
        let _ = area.draw(&pie);
        let _ = area.present();
    }
    let titles: Vec<String> = match total {
        0 => vec!["nothing".to_owned()],
        _ => parts.iter().map(|(name, value)| format!("{name}: {} ({})", number(*value), share(*value, total))).collect(),
    };
    let mut drawn = String::new();
    for (n, piece) in svg.split("<polygon").enumerate() {
        match (n, piece.split_once("/>")) {
            (0, _) | (_, None) => drawn.push_str(piece),
            // Parts of nothing are not drawn, so the titles are those of the rest.
            (n, Some((shape, rest))) => {
                let title = titles
                    .iter()
                    .zip(parts.iter().map(|(_, value)| *value).chain(std::iter::repeat(1)))
                    .filter(|(_, value)| total == 0 || *value > 0)
                    .nth(n - 1);
                let _ = write!(drawn, "<polygon{shape}><title>{}</title></polygon>{rest}", escape(title.map_or("", |(title, _)| title)));
            }
        }
    }
    let center = format!(r#"<text x="90" y="97" text-anchor="middle" class="total">{}</text>"#, short(total));
    finish(&drawn, id, "chart ring", &format!("{what}: {}", number(total)), SIZE, &center)
}

/// `12.3 %`.
pub fn share(value: u64, total: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let percent = if total == 0 { 0.0 } else { value as f64 * 100.0 / total as f64 };
    format!("{percent:.1} %")
}

/// At most five characters: `999`, `12.3k`, `1.2M`.
pub fn short(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rounded number")]
    let rounded = |unit: u64, name: &str| {
        let scaled = value as f64 / unit as f64;
        if scaled < 99.95 { format!("{scaled:.1}{name}") } else { format!("{scaled:.0}{name}") }
    };
    match value {
        0..10_000 => number(value),
        10_000..1_000_000 => rounded(1_000, "k"),
        1_000_000..1_000_000_000 => rounded(1_000_000, "M"),
        _ => rounded(1_000_000_000, "G"),
    }
}

/// Gives a drawing its name, its class and what lies over it.
fn finish(svg: &str, id: &str, class: &str, label: &str, (width, height): Size, over: &str) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body).trim_end();
    let body = body.strip_suffix("</svg>").unwrap_or(body);
    let label = escape(label);
    // A picture has no links in it for those who cannot see it; a trend has.
    let role = if over.contains("<a ") { "group" } else { "img" };
    format!(r#"<svg class="{class}" viewBox="0 0 {width} {height}" role="{role}" aria-labelledby="{id}"><title id="{id}">{label}</title>{body}{over}</svg>"#)
}

/// A text in HTML and SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[u64]) -> Vec<Point> {
        values.iter().enumerate().map(|(n, value)| Point { day: 20_000 + n as i64, value: *value, href: format!("?day={n}&x=<") }).collect()
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0, 5, 6, 11, 26, 99, 101, 1_234].map(nice_top), [5, 5, 10, 25, 50, 100, 250, 2_500]);
    }

    #[test]
    fn a_trend_has_a_title_a_link_for_each_day_and_no_inline_style() {
        let svg = trend("t", "Scans a day", &points(&[1, 2_000, 3]));
        assert!(svg.contains("Scans a day, 2024-10-04 to 2024-10-06"), "{svg}");
        assert_eq!(svg.matches("class=\"day\"").count(), 6, "three days, wide and narrow");
        assert!(svg.contains("2024-10-05: 2,000") && svg.contains("?day=0&amp;x=&lt;"));
        assert!(!svg.contains("style=") && !svg.contains("<script"));
        assert_eq!(trend("t", "x", &[]), "");
        assert!(trend("t", "x", &points(&[7])).contains("7"), "one day alone can be drawn");
    }

    #[test]
    fn a_ring_tells_its_parts() {
        let svg = ring("r", "Today", &[("QR <Code>".into(), 3), ("none".into(), 0), ("EAN".into(), 1)]);
        assert!(svg.contains("<title>QR &lt;Code&gt;: 3 (75.0 %)</title>") && svg.contains("<title>EAN: 1 (25.0 %)</title>"), "{svg}");
        assert!(svg.contains("Today: 4"));
        assert!(ring("r", "Today", &[]).contains("<title>nothing</title>"));
    }

    #[test]
    fn large_numbers_are_short() {
        assert_eq!([999, 9_999, 12_345, 1_200_000, 123_000_000, 5_000_000_000].map(short), ["999", "9,999", "12.3k", "1.2M", "123M", "5.0G"]);
    }
}
