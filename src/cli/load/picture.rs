//! Line charts as SVG, written by hand: a latency distribution, throughput over time.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Told apart by those who see no red or no green too (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten.
    Log,
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// What it shows, with the unit.
    pub label: &'a str,
    /// How.
    pub scale: Scale,
}

/// A line with its name.
#[derive(Clone, Debug)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines.
pub fn chart(title: &str, x: Axis<'_>, y: Axis<'_>, lines: &[Line]) -> String {
    let (across, up) = (Range::of(x.scale, lines.iter().flat_map(|line| line.points.iter().map(|p| p.0))), {
        Range::of(y.scale, lines.iter().flat_map(|line| line.points.iter().map(|p| p.1)))
    });
    let place_x = |value| LEFT + across.part(value) * (WIDTH - LEFT - RIGHT);
    let place_y = |value| HEIGHT - BOTTOM - up.part(value) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{0}</text>\n",
        escaped(title)
    );
    // Writing into a string cannot fail.
    for tick in across.ticks() {
        let at = place_x(tick);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/>", HEIGHT - BOTTOM);
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", HEIGHT - BOTTOM + 16.0, short(tick));
    }
    for tick in up.ticks() {
        let at = place_y(tick);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - RIGHT);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, at + 4.0, short(tick));
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        HEIGHT - 12.0,
        escaped(x.label)
    );
    let middle = TOP + (HEIGHT - TOP - BOTTOM) / 2.0;
    let _ =
        writeln!(svg, "<text x=\"16\" y=\"{middle:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {middle:.1})\">{}</text>", escaped(y.label));
    for (nth, line) in lines.iter().enumerate() {
        let colour = COLOURS[nth % COLOURS.len()];
        let points: Vec<String> = line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", place_x(*x), place_y(*y))).collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>", points.join(" "));
        let at = TOP + 14.0 + 16.0 * nth as f64;
        let _ = writeln!(svg, "<path d=\"M{:.1} {:.1}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>", LEFT + 10.0, at - 4.0);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{at:.1}\">{}</text>", LEFT + 34.0, escaped(&line.name));
    }
    svg.push_str("</svg>\n");
    svg
}

/// What an axis spans.
struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Range {
        let (low, high) = values
            .filter(|value| value.is_finite() && (scale == Scale::Linear || *value > 0.0))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        match scale {
            Scale::Linear => Range { scale, low: 0.0, high: if high > 0.0 { high * 1.05 } else { 1.0 } },
            Scale::Log if low.is_finite() => Range { scale, low: 10_f64.powf(low.log10().floor()), high: 10_f64.powf(high.log10().floor() + 1.0) },
            Scale::Log => Range { scale, low: 1.0, high: 10.0 },
        }
    }

    /// Where between both ends, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10()),
        };
        part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        match self.scale {
            Scale::Linear => {
                // A round step that gives four to ten of them.
                let rough = self.high / 5.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.7).unwrap_or(rough);
                let mut at = 0.0;
                while at <= self.high {
                    ticks.push(at);
                    at += step;
                }
            }
            Scale::Log => {
                let mut at = self.low;
                while at <= self.high * 1.001 {
                    ticks.push(at);
                    at *= 10.0;
                }
            }
        }
        ticks
    }
}

fn short(value: f64) -> String {
    match value {
        _ if value >= 10_000.0 => format!("{}k", (value / 1_000.0 * 10.0).round() / 10.0),
        _ => format!("{}", (value * 1_000.0).round() / 1_000.0),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
