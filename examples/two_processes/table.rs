//! What a person sees: a bar while it runs, a table in the end.
use std::{
    fmt,
    io::{Write as _, stderr, stdout},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::rounds::Outcome;

/// One line. A reader that has gone away, as `head` does, is no reason to stop.
pub fn line(text: impl fmt::Display) {
    let mut out = stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

pub fn line_to_stderr(text: impl fmt::Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// A bar for the rounds; it hides by itself where nobody could see it move.
pub fn bar(rounds: u32, visible: bool) -> ProgressBar {
    if !visible {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::from(rounds));
    let style = ProgressStyle::with_template("  {msg} {bar:36} {pos:>5}/{len} {per_sec:>10}  {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message("expiries");
    bar
}

pub fn show(outcome: &Outcome) {
    let Outcome { members, expiries, kills, calls, sign_outs, failures, server, took } = outcome;
    line(format_args!("{members} processes, one login, {expiries} expiries in {:.1} s\n", took.as_secs_f64()));
    for (name, value, wanted) in [
        ("processes killed and started again", u64::from(*kills), None),
        ("calls answered", *calls, Some(u64::from(*members) * u64::from(*expiries))),
        ("calls failed", failures.len() as u64, Some(0)),
        ("sign-outs", sign_outs.len() as u64, Some(0)),
        ("refreshes, as the cloud counted them", server.rotated, None),
        ("  replies lost with a process and asked for again", server.repeated, None),
        ("  double refreshes", server.doubled, Some(0)),
        ("  refused", server.refused, Some(0)),
    ] {
        let mark = match wanted {
            None => "",
            Some(wanted) if wanted == value => "✓",
            Some(_) => "✗",
        };
        line(format_args!("  {name:<50} {value:>8} {mark}"));
    }
    for fault in outcome.faults() {
        line(format_args!("  ✗ {fault}"));
    }
}
