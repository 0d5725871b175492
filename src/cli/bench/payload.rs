//! `bench payload`: a large text there and back, on raw pipes and through the router, in rounds
//! that alternate; and what the host has in RAM meanwhile.

use clap::Args as ClapArgs;
use poolshift::Args;
use poolshift::config::Config;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cli::bench::rounds::{Field, Kind, Load, Round};
use crate::cli::bench::{median, ratios, resident};
use crate::cli::failure::Failure;
use crate::cli::{progress, stdout};

const KINDS: [Kind; 2] = [Kind::Raw, Kind::Router];

/// What a frame holds beside its payload: far less than this.
const ENVELOPE: usize = 64 * 1024;

/// The largest payload: a frame's length has 32 bits.
const LARGEST: usize = 1_000_000_000;

#[derive(Debug, ClapArgs)]
pub(crate) struct PayloadArgs {
    /// Bytes of text in each call's args, and in its result: such as 64KB, 1MB or 1MiB
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = bytes)]
    #[arg(default_values = ["1MB", "10MB"])]
    size: Vec<usize>,
    #[command(flatten)]
    load: Load,
}

/// Rounds of one kind.
#[derive(Default)]
struct Rounds {
    rounds: Vec<Round>,
    /// The most bytes in RAM during any of them.
    peak: u64,
}

pub(crate) async fn payload(
    mut config: Config,
    args: PayloadArgs,
    json: bool,
) -> Result<(), Failure> {
    let (workers, callers) = (usize::from(args.load.workers), usize::from(args.load.callers));
    let largest = args.size.iter().max().expect("there is a default");
    config.v2.size = 1; // legacy
    (config.v3.size, config.v3.min_ready) = (workers, workers);
    // Whoever waits behind large calls is slow, not lost.
    config.v3.queue_timeout = config.v3.timeout;
    config.worker.max_frame_bytes = config.worker.max_frame_bytes.max(largest + ENVELOPE);
    let mut field = Field::start(&config).await?;
    let idle = warm(&mut field, callers).await?;
    let bar = progress::bar(u64::from(args.load.rounds) * args.size.len() as u64 * 2);
    let (mut sizes, mut forgets) = (Vec::new(), true);
    for &size in &args.size {
        let echoed = long_args(size)?;
        let mut all: [Rounds; 2] = Default::default();
        for _ in 0..args.load.rounds {
            for (kind, of_kind) in KINDS.into_iter().zip(&mut all) {
                forgets &= resident::forget_peak();
                of_kind.rounds.push(field.round(kind, callers, &echoed).await?);
                of_kind.peak = of_kind.peak.max(resident::peak()?);
                bar.inc(1);
            }
        }
        sizes.push(figures(size, callers.min(workers), idle, &all));
    }
    bar.finish_and_clear();
    field.end().await;
    let figures = json!({
        "workers": workers,
        "callers": callers,
        "calls_in_flight": callers.min(workers),
        "idle_rss_mb": idle as f64 / 1e6,
        "peak_of": if forgets { "rounds" } else { "process" },
        "sizes": sizes,
    });
    if json { stdout::json(&figures) } else { tell(&figures) }
}

/// One text for all calls; whoever makes its own holds one payload more. Made in one piece, since
/// what it takes to make it counts as memory above idle.
fn long_args(size: usize) -> Result<Args, Failure> {
    let mut text = String::with_capacity(size + ENVELOPE);
    text.push_str("{\"text\":\"");
    text.extend(std::iter::repeat_n('x', size));
    text.push_str("\"}");
    let raw = RawValue::from_string(text).map_err(Failure::failed)?;
    Ok(Args::from_raw(raw)?)
}

/// Small calls, so that what any call makes is there; then the bytes in RAM.
async fn warm(field: &mut Field, callers: usize) -> Result<u64, Failure> {
    let small = Args::parse("{\"x\":1}")?;
    for kind in KINDS {
        field.round(kind, callers, &small).await?;
    }
    resident::now()
}

fn figures(size: usize, in_flight: usize, idle: u64, all: &[Rounds; 2]) -> Value {
    let rates = all.each_ref().map(|it| rates(&it.rounds));
    let [raw, router] = rates.each_ref().map(|rates| median(rates));
    let cpu = |of_kind: &Rounds| {
        median(&of_kind.rounds.iter().map(Round::cpu_us_per_call).collect::<Vec<_>>())
    };
    let above = all.each_ref().map(|it| it.peak.saturating_sub(idle) as f64);
    let multiple = above.map(|bytes| bytes / (size * in_flight) as f64);
    let mb = size as f64 / 1e6;
    json!({
        "payload_bytes": size,
        "raw_calls_per_s": raw,
        "router_calls_per_s": router,
        "raw_mb_per_s": raw * mb,
        "router_mb_per_s": router * mb,
        "ratio_router_to_raw": ratios(&rates[1], &rates[0]),
        "host_cpu_us_per_call": { "raw": cpu(&all[0]), "router": cpu(&all[1]) },
        "peak_rss_mb_above_idle": { "raw": above[0] / 1e6, "router": above[1] / 1e6 },
        "peak_rss_per_payload_in_flight": { "raw": multiple[0], "router": multiple[1] },
    })
}

fn rates(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(Round::calls_per_s).collect()
}

fn tell(figures: &Value) -> Result<(), Failure> {
    let in_flight = &figures["calls_in_flight"];
    for of_size in figures["sizes"].as_array().into_iter().flatten() {
        let of = |path: &str| of_size.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        stdout::line(&format!(
            "{:>10.3} MB  raw {:.1} calls/s, router {:.1} calls/s, {:.0} MB/s each way; router to \
             raw {:.3} (min {:.3}, max {:.3})",
            of("/payload_bytes") / 1e6,
            of("/raw_calls_per_s"),
            of("/router_calls_per_s"),
            of("/router_mb_per_s"),
            of("/ratio_router_to_raw/median"),
            of("/ratio_router_to_raw/min"),
            of("/ratio_router_to_raw/max"),
        ))?;
        stdout::line(&format!(
            "{:>13}  peak RSS above idle {:.1} MB: {:.2} x payload x {in_flight} in flight (raw \
             {:.2} x); host processor time a call: raw {:.0} us, router {:.0} us",
            "",
            of("/peak_rss_mb_above_idle/router"),
            of("/peak_rss_per_payload_in_flight/router"),
            of("/peak_rss_per_payload_in_flight/raw"),
            of("/host_cpu_us_per_call/raw"),
            of("/host_cpu_us_per_call/router"),
        ))?;
    }
    if figures["peak_of"] == "process" {
        stdout::line("the kernel does not reset peaks: they are those of the whole run")?;
    }
    Ok(())
}

/// A number of bytes, with a decimal or a binary unit if any.
fn bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 5] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("KB", 1_000), ("MB", 1_000_000), ("", 1)];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (digits, factor) = unit.expect("every text ends in nothing");
    let bytes = digits.parse().ok().and_then(|count: usize| count.checked_mul(*factor));
    let bytes = bytes.filter(|bytes| (1..=LARGEST).contains(bytes));
    bytes.ok_or_else(|| "it is a size such as 64KB, 1MB or 1MiB, up to 1000MB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, size) in
            [("1", 1), ("64KB", 64_000), ("10MB", 10_000_000), ("1MiB", 1 << 20), ("2KiB", 2048)]
        {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "0", "MB", "-1", "1.5MB", "1 MB", "1001MB", "1TB", "99999999999999MB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_told_in_payloads_in_flight() {
        let rounds = |peak| Rounds { rounds: vec![Round::default()], peak };
        let told = figures(1_000_000, 8, 5_000_000, &[rounds(13_000_000), rounds(29_000_000)]);
        assert_eq!(told["peak_rss_mb_above_idle"], json!({ "raw": 8.0, "router": 24.0 }));
        assert_eq!(told["peak_rss_per_payload_in_flight"], json!({ "raw": 1.0, "router": 3.0 }));
    }
}
