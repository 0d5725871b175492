//! Progress bars on stderr, and only on a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for `total` steps, titled by its message.
pub(crate) fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target());
    let plain = std::env::var_os("NO_COLOR").is_some();
    let line = if plain { "{bar:30}" } else { "{bar:30.cyan/blue}" };
    let template = format!("{{elapsed:>4}} {line} {{pos}}/{{len}} {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("the template is well-formed");
    bar.with_style(style)
}

fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}
