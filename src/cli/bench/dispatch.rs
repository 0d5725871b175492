//! `bench dispatch`: raw pipes, V2, V3 and router + V3 in rounds that alternate, so that a
//! machine whose speed drifts favours none.

use clap::Args as ClapArgs;
use poolshift::Args;
use poolshift::config::Config;
use serde_json::{Value, json};

use crate::cli::bench::rounds::{Field, Kind, Load, Round};
use crate::cli::bench::{median, ratios};
use crate::cli::failure::Failure;
use crate::cli::{progress, stdout};

#[derive(Debug, ClapArgs)]
pub(crate) struct DispatchArgs {
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn dispatch(
    mut config: Config,
    args: DispatchArgs,
    json: bool,
) -> Result<(), Failure> {
    let workers = usize::from(args.load.workers);
    config.v2.size = workers; // legacy
    (config.v3.size, config.v3.min_ready) = (workers, workers);
    let (callers, echoed) = (usize::from(args.load.callers), Args::parse("{\"x\":1}")?);
    let mut field = Field::start(&config).await?;
    let kinds = [Kind::Raw, Kind::V2, Kind::V3, Kind::Router];
    let lone = [Kind::Raw, Kind::RawInTurn, Kind::Router];
    let total = u64::from(args.load.rounds) * (kinds.len() + lone.len()) as u64;
    let bar = progress::bar(total);
    let mut rounds: [Vec<Round>; 4] = Default::default();
    let mut alone: [Vec<Round>; 3] = Default::default();
    for _ in 0..args.load.rounds {
        for (kind, rounds) in kinds.into_iter().zip(&mut rounds) {
            rounds.push(field.round(kind, callers, &echoed).await?);
            bar.inc(1);
        }
    }
    for _ in 0..args.load.rounds {
        for (kind, rounds) in lone.into_iter().zip(&mut alone) {
            rounds.push(field.round(kind, 1, &echoed).await?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    field.end().await;
    let figures = figures(rounds, alone);
    if json { stdout::json(&figures) } else { tell(&figures) }
}

fn figures(rounds: [Vec<Round>; 4], alone: [Vec<Round>; 3]) -> Value {
    let rates: Vec<Vec<f64>> =
        rounds.iter().map(|rounds| rounds.iter().map(Round::calls_per_s).collect()).collect();
    let cpu =
        |rounds: &[Round]| median(&rounds.iter().map(Round::cpu_us_per_call).collect::<Vec<_>>());
    let (raw_cpu, router_cpu) = (cpu(&rounds[0]), cpu(&rounds[3]));
    let [_, _, _, router] = rounds;
    let p99: Vec<f64> = quantiles(router, 0.99).iter().map(|us| us / 1e3).collect();
    let [raw_p50, in_turn_p50, router_p50] = alone.map(|rounds| median(&quantiles(rounds, 0.5)));
    json!({
        "raw_calls_per_s": median(&rates[0]),
        "v2_calls_per_s": median(&rates[1]),
        "v3_calls_per_s": median(&rates[2]),
        "router_calls_per_s": median(&rates[3]),
        "ratio_router_to_raw": ratios(&rates[3], &rates[0]),
        "p99_ms": median(&p99),
        "sequential": {
            "raw_p50_us": raw_p50, "router_p50_us": router_p50, "ratio": router_p50 / raw_p50,
            "raw_in_turn_p50_us": in_turn_p50, "ratio_to_in_turn": router_p50 / in_turn_p50,
        },
        "host_cpu_us_per_call": { "raw": raw_cpu, "router": router_cpu },
    })
}

fn quantiles(rounds: Vec<Round>, share: f64) -> Vec<f64> {
    let of = |mut round: Round| round.quantile(share).as_secs_f64() * 1e6;
    rounds.into_iter().map(of).collect()
}

fn tell(figures: &Value) -> Result<(), Failure> {
    let of = |path: &str| figures.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    for (name, key) in [("raw pipes", "raw"), ("V2", "v2"), ("V3", "v3"), ("router + V3", "router")]
    {
        stdout::line(&format!("{name:<14}{:>10.0} calls/s", of(&format!("/{key}_calls_per_s"))))?;
    }
    stdout::line(&format!(
        "router to raw {:.3} (min {:.3}, max {:.3}); p99 {:.3} ms",
        of("/ratio_router_to_raw/median"),
        of("/ratio_router_to_raw/min"),
        of("/ratio_router_to_raw/max"),
        of("/p99_ms"),
    ))?;
    stdout::line(&format!(
        "one caller alone: raw p50 {:.1} us, router p50 {:.1} us, ratio {:.3}; \
         raw workers in turn, as V3 takes its own: {:.1} us, ratio {:.3}",
        of("/sequential/raw_p50_us"),
        of("/sequential/router_p50_us"),
        of("/sequential/ratio"),
        of("/sequential/raw_in_turn_p50_us"),
        of("/sequential/ratio_to_in_turn"),
    ))?;
    stdout::line(&format!(
        "host processor time a call: raw {:.1} us, router {:.1} us",
        of("/host_cpu_us_per_call/raw"),
        of("/host_cpu_us_per_call/router"),
    ))
}
