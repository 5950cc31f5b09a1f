//! Plots as inline SVG: axes, lines, dots. Colours are the page's (`var(--…)`), so that a plot is light or dark as it is.

use std::fmt::Write;

use crate::measure::curve::Point;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A line through them.
    Line,
    /// A broken line through them.
    Dashes,
    /// A dot at each.
    Dots,
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub struct Series {
    /// Their name; the legend leaves out points without one, which belong to those before.
    pub name: String,
    /// Name of the page's colour.
    pub colour: &'static str,
    /// How they are drawn.
    pub mark: Mark,
    /// Their coordinates, each with the text that is shown on it.
    pub points: Vec<(Point, String)>,
}

impl Series {
    /// Points without texts of their own.
    pub fn plain(name: &str, colour: &'static str, mark: Mark, points: &[Point]) -> Series {
        Series {
            name: name.to_owned(),
            colour,
            mark,
            points: points.iter().map(|point| (*point, String::new())).collect(),
        }
    }
}

/// A plot with two axes.
#[derive(Debug)]
pub struct Plot<'a> {
    /// A description of the plot, for those who cannot see it.
    pub title: &'a str,
    /// Under the horizontal axis.
    pub x: &'a str,
    /// Beside the vertical axis.
    pub y: &'a str,
    /// From the bottom to the top.
    pub series: &'a [Series],
}

impl Plot<'_> {
    /// The plot as an SVG element.
    pub fn render(&self) -> String {
        let all = || {
            self.series
                .iter()
                .flat_map(|series| &series.points)
                .map(|(point, _)| point)
        };
        let across = Axis::from_values(all().map(|point| point[0]), LEFT, WIDTH - RIGHT);
        let up = Axis::from_values(all().map(|point| point[1]), HEIGHT - BOTTOM, TOP);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title)
        );
        self.axes(&mut out, &across, &up);
        for series in self.series {
            draw(&mut out, series, &across, &up);
        }
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, out: &mut String, across: &Axis, up: &Axis) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in across.ticks() {
            let x = across.place(tick);
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>"
            );
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                label(tick)
            );
        }
        for tick in up.ticks() {
            let y = up.place(tick);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>"
            );
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                label(tick)
            );
        }
        let middle = (LEFT + right) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            escape(self.x)
        );
        let _ = writeln!(
            out,
            "<text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (TOP + bottom) / 2.0,
            escape(self.y)
        );
    }
}

fn draw(out: &mut String, series: &Series, across: &Axis, up: &Axis) {
    let colour = series.colour;
    let finite = || {
        series
            .points
            .iter()
            .filter(|(point, _)| point.iter().all(|value| value.is_finite()))
    };
    if series.mark == Mark::Dots {
        for (point, text) in finite() {
            let (x, y) = (across.place(point[0]), up.place(point[1]));
            let name = if text.is_empty() { &series.name } else { text };
            let title = format!("{name}: {:.3}, {:.3}", point[0], point[1]);
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"var(--{colour})\"><title>{}</title></circle>",
                escape(&title)
            );
        }
        return;
    }
    let places: Vec<String> = finite()
        .map(|(point, _)| format!("{:.1},{:.1}", across.place(point[0]), up.place(point[1])))
        .collect();
    let dashes = if series.mark == Mark::Dashes {
        " stroke-dasharray=\"5 4\""
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"var(--{colour})\" stroke-width=\"2\"{dashes}><title>{}</title></polyline>",
        places.join(" "),
        escape(&series.name)
    );
}

/// The names of the series with their colours.
pub fn legend(series: &[Series]) -> String {
    let mut out = String::from("<p class=\"legend\">");
    for line in series.iter().filter(|line| !line.name.is_empty()) {
        let _ = write!(
            out,
            "<span><i style=\"background:var(--{})\"></i>{}</span> ",
            line.colour,
            escape(&line.name)
        );
    }
    out + "</p>\n"
}

/// Text that can stand anywhere in HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

struct Axis {
    from: f64,
    to: f64,
    step: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis from `start` to `end` in the picture that shows all of `values`, from one round number to another.
    fn from_values(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Axis {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = match (low.is_finite(), high > low) {
            (false, _) => (0.0, 1.0),
            (true, false) => (low - 0.5, low + 0.5),
            _ => (low, high),
        };
        let rough = (high - low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|part| part * power)
            .find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        Axis {
            from: (low / step).floor() * step,
            to: (high / step).ceil() * step,
            step,
            start,
            end,
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.start + (value - self.from) / (self.to - self.from) * (self.end - self.start)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let count = ((self.to - self.from) / self.step).round() as u32;
        (0..=count).map(|at| self.from + f64::from(at) * self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_go_from_round_number_to_round_number() {
        let axis = Axis::from_values([0.13, 0.87].into_iter(), 0.0, 100.0);
        let ticks: Vec<String> = axis.ticks().map(label).collect();
        assert_eq!(ticks, ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(axis.place(0.5), 50.0);
        // Of one value, of none, of what is not a number.
        assert!(
            Axis::from_values([2.0].into_iter(), 0.0, 1.0)
                .place(2.0)
                .is_finite()
        );
        assert!(
            Axis::from_values([f64::NAN].into_iter(), 0.0, 1.0)
                .place(0.5)
                .is_finite()
        );
    }

    #[test]
    fn names_of_models_cannot_break_the_page() {
        let series = [Series {
            name: "a".into(),
            colour: "router",
            mark: Mark::Dots,
            points: vec![
                ([0.0, 1.0], "<script>\"'&".into()),
                ([f64::NAN, 1.0], "gone".into()),
            ],
        }];
        let plot = Plot {
            title: "t",
            x: "x",
            y: "y",
            series: &series,
        };
        let svg = plot.render();
        assert!(svg.contains("&lt;script&gt;&quot;&#39;&amp;"));
        assert!(!svg.contains("gone") && !svg.contains("NaN"));
    }
}
