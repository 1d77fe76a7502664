//! What a run says: figures for a person, the same as JSON, a picture.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::picture::{self, Axis, Line, Scale};
use super::tally::{Sort, Tally};

/// How often what was acknowledged was asked for again in the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rechecked {
    pub(super) of: u64,
    pub(super) asked: u64,
    pub(super) right: u64,
}

/// A goal and what came out.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) name: &'static str,
    pub(super) wanted: f64,
    pub(super) seen: f64,
    pub(super) met: bool,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) settings: Value,
    pub(super) tally: Tally,
    pub(super) receipts: u64,
    pub(super) verifies_receipts: bool,
    pub(super) rechecked: Option<Rechecked>,
    pub(super) goals: Vec<Goal>,
    /// Why it ended before it was done.
    pub(super) cut_short: Option<&'static str>,
}

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// Milliseconds at a quantile.
pub(super) fn quantile_ms(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}

/// Points of the distribution: microseconds, and which part was not slower.
pub fn distribution(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let (mut seen, total, mut points) = (0_u64, latency.len().max(1) as f64, Vec::new());
    for bucket in latency.iter_recorded() {
        seen += bucket.count_at_value();
        let part = seen as f64 / total;
        // A few hundred points are as fine as a picture shows.
        if points.last().is_none_or(|(_, last)| part - last >= 0.004) || seen == latency.len() {
            points.push((bucket.value_iterated_to() as f64, part));
        }
    }
    points
}

/// What was seen, as JSON: rates, latencies in microseconds, what went wrong, the distribution and the course.
pub fn figures(tally: &Tally) -> Map<String, Value> {
    let latency = |latency: &Histogram<u64>| -> Value {
        QUANTILES.iter().map(|(name, quantile)| ((*name).to_owned(), latency.value_at_quantile(*quantile).into())).collect::<Map<_, _>>().into()
    };
    let mut sorts = Map::new();
    for sort in Sort::ALL.into_iter().filter(|sort| !tally.of(*sort).latency.is_empty()) {
        let measured = tally.of(sort);
        let value = json!({ "requests": measured.requests, "invoices": measured.units, "latency_us": latency(&measured.latency) });
        sorts.insert(sort.name().to_owned(), value);
    }
    let value = json!({
        "seconds": tally.duration().as_secs_f64(),
        "requests": tally.requests(),
        "invoices": tally.units(),
        "invoices_per_second": tally.rate(),
        "latency_us": latency(&tally.latency()),
        "by_request": sorts,
        "wrong": tally.wrong,
        "errors": tally.errors,
        "unserved": tally.unserved,
        "interruptions": tally.interruptions,
        "examples": tally.examples,
        "schedule_late_us": latency(&tally.late),
        "per_second": tally.series,
        "distribution": distribution(&tally.latency()),
    });
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

impl Report {
    /// No wrong answer, no error, nothing lost, every goal met.
    pub(super) fn is_fine(&self) -> bool {
        let nothing_lost = self.rechecked.is_none_or(|again| again.right == again.asked);
        self.tally.wrong == 0
            && self.tally.errors == 0
            && self.tally.unserved == 0
            && nothing_lost
            && self.goals.iter().all(|goal| goal.met)
            && self.cut_short.is_none()
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = figures(&self.tally);
        let mut set = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        set("settings", self.settings.clone());
        set("receipts_verified", self.receipts.into());
        let again = |again: Rechecked| json!({ "acknowledged": again.of, "asked": again.asked, "right": again.right });
        set("rechecked", self.rechecked.map(again).into());
        let goal = |goal: &Goal| json!({ "goal": goal.name, "wanted": goal.wanted, "seen": goal.seen, "met": goal.met });
        set("goals", self.goals.iter().map(goal).collect());
        set("cut_short", self.cut_short.into());
        set("fine", self.is_fine().into());
        Value::Object(object)
    }

    pub(super) fn to_text(&self) -> String {
        let tally = &self.tally;
        let mut text = format!(
            "{:.1} s  请求 requests {}  发票 invoices {}  {:.0}/s\n",
            tally.duration().as_secs_f64(),
            tally.requests(),
            tally.units(),
            tally.rate()
        );
        for sort in Sort::ALL.into_iter().filter(|sort| !tally.of(*sort).latency.is_empty()) {
            let measured = tally.of(sort);
            let _ = write!(text, "  {:<7} {:>10}", sort.name(), measured.requests);
            for (name, quantile) in QUANTILES {
                let _ = write!(text, "   {} {:.3}", if name == "p999" { "p99.9" } else { name }, quantile_ms(&measured.latency, quantile));
            }
            text.push_str(" ms\n");
        }
        if !tally.late.is_empty() {
            let _ = writeln!(text, "  延迟到达 arrivals handed out late by p99 {:.3} ms", quantile_ms(&tally.late, 0.99));
        }
        let _ = writeln!(
            text,
            "  错误答复 wrong {}  失败 errors {}  未发出 unserved {}  中断 interruptions {}",
            tally.wrong, tally.errors, tally.unserved, tally.interruptions
        );
        if self.verifies_receipts {
            let _ = writeln!(text, "  回执验证 receipts verified {}", self.receipts);
        }
        if let Some(again) = &self.rechecked {
            let _ = writeln!(text, "  复查 acknowledged {}, asked again {}, right {}", again.of, again.asked, again.right);
        }
        for what in &tally.examples {
            let _ = writeln!(text, "  ! {what}");
        }
        for Goal { name, wanted, seen, met } in &self.goals {
            let _ = writeln!(text, "  目标 goal {name} {wanted}: {seen:.3} {}", if *met { "达到 met" } else { "未达到 NOT MET" });
        }
        if let Some(why) = self.cut_short {
            let _ = writeln!(text, "  提前结束 cut short: {why}");
        }
        text.trim_end().to_owned()
    }

    /// Both pictures, one above the other.
    pub(super) fn to_svg(&self) -> String {
        let lines: Vec<Line> = Sort::ALL
            .into_iter()
            .map(|sort| (sort, &self.tally.of(sort).latency))
            .filter(|(_, latency)| !latency.is_empty())
            .map(|(sort, latency)| Line {
                name: sort.name().to_owned(),
                points: distribution(latency).into_iter().map(|(us, part)| (us / 1e3, part)).collect(),
            })
            .collect();
        let below = picture::chart(
            "Latency distribution",
            Axis { label: "milliseconds", scale: Scale::Log },
            Axis { label: "part of the requests", scale: Scale::Linear },
            &lines,
        );
        let series = self.tally.series.iter().enumerate().map(|(second, units)| (second as f64, *units as f64)).collect();
        let above = picture::chart(
            "Throughput over time",
            Axis { label: "seconds", scale: Scale::Linear },
            Axis { label: "invoices a second", scale: Scale::Linear },
            &[Line { name: "answered".to_owned(), points: series }],
        );
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 800\">\n{above}<g transform=\"translate(0 400)\">\n{below}</g>\n</svg>\n"
        )
    }
}
