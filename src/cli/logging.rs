//! Logs go to stderr: text on a terminal, JSON lines otherwise.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use poolshift::config::DebugConfig;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON lines otherwise
    #[default]
    Auto,
    /// Text for people
    Text,
    /// One JSON object a line
    Json,
}

/// `RUST_LOG` wins over the flags, and the flags add to what `[debug]` asks for.
pub(crate) fn start(verbose: u8, format: LogFormat, debug: &DebugConfig) {
    let default = default_filter(verbose, debug);
    let chosen = std::env::var_os("RUST_LOG").filter(|chosen| !chosen.is_empty());
    let filter = match (chosen, EnvFilter::try_from_default_env()) {
        (Some(_), Ok(filter)) => filter,
        (Some(chosen), Err(error)) => {
            // Not worth a failure: the command itself is not about logs.
            let _ = writeln!(io::stderr(), "poolshift: RUST_LOG={chosen:?} is ignored: {error}");
            EnvFilter::new(default)
        }
        (None, _) => EnvFilter::new(default),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let terminal = io::stderr().is_terminal();
    let json = format == LogFormat::Json || format == LogFormat::Auto && !terminal;
    if json {
        builder.json().flatten_event(true).init();
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colours).init();
    }
}

fn default_filter(verbose: u8, debug: &DebugConfig) -> String {
    let mut filter = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    }
    .to_owned();
    for (wanted, target) in
        [(debug.debug, "poolshift::worker::stderr"), (debug.trace_requests, "poolshift::frame")]
    {
        if wanted && verbose == 0 {
            filter.push_str(&format!(",{target}=info"));
        }
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debug_asks_for_is_shown_without_a_flag() {
        let quiet = DebugConfig::default();
        let loud = DebugConfig { debug: true, trace_requests: true, ..quiet.clone() };
        assert_eq!(default_filter(0, &quiet), "warn");
        let both = "warn,poolshift::worker::stderr=info,poolshift::frame=info";
        assert_eq!(default_filter(0, &loud), both);
        assert_eq!(default_filter(2, &loud), "debug");
    }
}
