//! `poolshift-sim queue`: the real machine under a textbook workload, beside the formula.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use clap::Args;
use poolshift::Lane;
use poolshift_sim::oracle::batch_means::{Estimate, Verdict};
use poolshift_sim::oracle::erlang::{Service, expected};
use poolshift_sim::oracle::queue::{Load, Measures, Queue};
use poolshift_sim::rng::{Law, Seed};
use poolshift_sim::textbook::{Measured, Textbook};
use serde::Serialize;

use crate::cli::failure::{Failure, print};

/// Where simulation is judged by formula: beyond, runs would be too long to be fine enough.
const MAX_SERVERS: u32 = 64;
const MAX_LOAD: f64 = 0.9;
const MIN_PROBABILITY: f64 = 1e-3;

/// Calls of a run: their waits are kept.
const MOST_CALLS: u64 = 1_000_000_000;

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// How many workers
    #[arg(long)]
    servers: u32,
    /// Calls a second
    #[arg(long, value_parser = rate)]
    arrival_rate: f64,
    /// Calls that one busy worker ends in a second
    #[arg(long, value_parser = rate)]
    service_rate: f64,
    /// At most so many calls in the system, waiting or served
    #[arg(long)]
    capacity: Option<u32>,
    /// A second after which waiting calls leave, as a rate: 2 is half a second on average
    #[arg(long, value_parser = rate)]
    abandon_rate: Option<f64>,
    /// exp, const or lognormal:CV
    #[arg(long, default_value = "exp", value_parser = service)]
    service: Law,
    /// v3: one queue; v2: a queue for each worker
    #[arg(long, default_value = "v3", value_parser = lane)]
    lane: Lane,
    /// How many calls arrive; the first tenth is warm-up
    #[arg(long, default_value_t = 1_000_000, value_parser = calls())]
    calls: u64,
    /// Decides everything that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A second holds at most one event a nanosecond, and a run some hundred thousand years.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1e-6..=1e9).contains(rate));
    rate.ok_or_else(|| "must be a number from 0.000001 to 1000000000, a second".to_owned())
}

fn calls() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=MOST_CALLS)
}

fn service(text: &str) -> Result<Law, String> {
    match (text, text.strip_prefix("lognormal:").map(str::parse)) {
        ("exp", _) => Ok(Law::Exponential),
        ("const", _) => Ok(Law::Constant),
        (_, Some(Ok(cv))) if (0.01..=10.0).contains(&cv) => Ok(Law::Lognormal { cv }),
        _ => Err("must be exp, const, or lognormal:CV with CV from 0.01 to 10".to_owned()),
    }
}

fn lane(text: &str) -> Result<Lane, String> {
    let lanes = [Lane::V2, Lane::V3].into_iter();
    lanes.into_iter().find(|lane| lane.as_str() == text).ok_or("must be v2 or v3".to_owned())
}

#[derive(Debug, Serialize)]
struct Report {
    measured: BTreeMap<&'static str, Option<f64>>,
    /// Null where no exact formula is known.
    expected: Option<BTreeMap<&'static str, f64>>,
    standard_error: BTreeMap<&'static str, Option<f64>>,
    /// agrees, differs, too_noisy, or not_judged
    verdicts: BTreeMap<&'static str, &'static str>,
    /// Starts that were to the nanosecond when the discipline's recursion says.
    exact_starts: u64,
}

pub(crate) fn queue(args: &QueueArgs, json: bool) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let QueueArgs { servers, arrival_rate, service_rate, capacity, abandon_rate, .. } = *args;
    if args.lane == Lane::V2 && (capacity.is_some() || abandon_rate.is_some()) {
        return Err(Failure::Usage("v2 has neither --capacity nor --abandon-rate".to_owned()));
    }
    let load = Load::new(servers, arrival_rate, service_rate).map_err(|error| usage(&error))?;
    let queue = Queue::new(load, capacity, abandon_rate).map_err(|error| usage(&error))?;
    let (lane, seed) = (args.lane, Seed(args.seed));
    let book = Textbook { lane, queue, service: args.service, calls: args.calls, seed };
    let reference = book.reference().map_err(|error| usage(&error))?;
    let theory = expected(&reference, shape(args.service)).ok();
    let measured = match book.run() {
        Ok(measured) => measured,
        Err(error) => {
            let _ = writeln!(io::stderr(), "poolshift-sim: {error}");
            return Err(Failure::Broken);
        }
    };
    let judged = servers <= MAX_SERVERS
        && reference.load().offered() <= MAX_LOAD * f64::from(reference.load().servers());
    let report = compare(&measured, theory.map(|theory| scaled(theory, &book)), judged);
    let printed = match json {
        true => serde_json::to_string(&report).expect("a report is plain data") + "\n",
        false => text(&report),
    };
    let differs = report.verdicts.values().any(|verdict| *verdict == "differs");
    print(&printed, if differs { Err(Failure::Broken) } else { Ok(()) })
}

fn shape(law: Law) -> Service {
    match law {
        Law::Exponential => Service::Exponential,
        Law::Lognormal { cv } => Service::General { cv2: cv * cv },
        _ => Service::General { cv2: 0.0 },
    }
}

/// V2 is as many single queues as it has workers: what is counted in calls adds up.
fn scaled(theory: Measures, book: &Textbook) -> Measures {
    let queues = match book.lane {
        Lane::V2 => f64::from(book.queue.load().servers()),
        Lane::V3 => 1.0,
    };
    let (lq, mean_in_system) = (theory.lq * queues, theory.mean_in_system * queues);
    Measures { lq, mean_in_system, ..theory }
}

fn compare(measured: &Measured, theory: Option<Measures>, judged: bool) -> Report {
    let theory: Option<BTreeMap<_, _>> = theory.map(|theory| theory.named().into());
    let mut report = Report {
        measured: BTreeMap::new(),
        expected: theory.clone(),
        standard_error: BTreeMap::new(),
        verdicts: BTreeMap::new(),
        exact_starts: measured.exact_starts,
    };
    for (name, estimate) in &measured.measures {
        report.measured.insert(name, estimate.map(|estimate| estimate.mean));
        report.standard_error.insert(name, estimate.map(|estimate| estimate.standard_error));
        let exact = theory.as_ref().map(|theory| theory[name]).filter(|_| judged);
        report.verdicts.insert(name, verdict(*estimate, exact, name.starts_with("p_")));
    }
    report
}

fn verdict(estimate: Option<Estimate>, exact: Option<f64>, probability: bool) -> &'static str {
    match (estimate, exact) {
        (Some(_), Some(exact)) if probability && exact > 0.0 && exact < MIN_PROBABILITY => {
            "not_judged"
        }
        (Some(estimate), Some(exact)) => match estimate.judge(exact) {
            Verdict::Agrees => "agrees",
            Verdict::Differs => "differs",
            Verdict::TooNoisy => "too_noisy",
        },
        _ => "not_judged",
    }
}

fn text(report: &Report) -> String {
    let mut text = format!("{:<16}{:>14}{:>14}{:>14}\n", "", "measured", "expected", "std. error");
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.6}"));
    for (name, measured) in &report.measured {
        let expected = report.expected.as_ref().map(|expected| expected[name]);
        let error = report.standard_error[name];
        let (measured, expected, error) = (shown(*measured), shown(expected), shown(error));
        let verdict = report.verdicts[name];
        let _ = writeln!(text, "{name:<16}{measured:>14}{expected:>14}{error:>14}  {verdict}");
    }
    let _ = writeln!(text, "{} starts, each exactly when it had to be", report.exact_starts);
    text
}
