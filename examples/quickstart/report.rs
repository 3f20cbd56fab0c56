//! What a person sees: one line a step, figures beside it, a progress bar for long work, a summary at the end.
use std::{
    fmt,
    io::{IsTerminal as _, Write as _, stderr, stdout},
    time::{Duration, Instant},
};

use cloud_sdk::Error;
use indicatif::{ProgressBar, ProgressStyle};

/// Why a step failed.
#[derive(Debug)]
pub enum Cause {
    /// The cloud or the SDK said no.
    Sdk(Error),
    /// The step was carried out and its result is not what it must be.
    Check(String),
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Self::Sdk(error)
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        Self::Check(error.to_string())
    }
}

/// A step that failed.
#[derive(Debug)]
pub struct Failure {
    pub number: usize,
    pub step: &'static str,
    pub cause: Cause,
}

/// Fails the step unless `holds`.
pub fn check(holds: bool, otherwise: impl fmt::Display) -> Result<(), Cause> {
    if holds { Ok(()) } else { Err(Cause::Check(otherwise.to_string())) }
}

/// The lines so far.
pub struct Report {
    step: usize,
    begun: Instant,
    colour: bool,
}

impl Report {
    pub fn new() -> Self {
        Self {
            step: 0,
            begun: Instant::now(),
            colour: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Runs one step and shows how it went.
    pub async fn step<T>(
        &mut self,
        step: &'static str,
        work: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Failure> {
        self.step += 1;
        let number = self.step;
        line(format_args!("{} {step}", self.paint("1;34", &format!("{number:>2}."))));
        let begun = Instant::now();
        let value = work.await.map_err(|cause| Failure { number, step, cause })?;
        note(format_args!("{} {}", self.paint("32", "✓"), self.paint("2", &spent(begun.elapsed()))));
        Ok(value)
    }

    pub fn summary(&self, lines: &[(String, String)]) {
        line(format_args!("\n{}", self.paint("1", "Summary")));
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in lines {
            line(format_args!("  {name:<width$}  {value}"));
        }
        line(format_args!("\nAll {} steps passed in {}.", self.step, spent(self.begun.elapsed())));
    }

    pub fn failure(&self, failure: &Failure) {
        let mark = self.paint("31", "✗");
        let mut lines = vec![format!("\n{mark} step {} failed: {}", failure.number, failure.step)];
        match &failure.cause {
            Cause::Check(text) => lines.push(format!("  {text}")),
            Cause::Sdk(error) => {
                lines.push(format!("  {error}"));
                lines.extend(error.detail().map(|detail| format!("  the server said: {detail}")));
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    lines.push(format!("  because: {cause}"));
                    source = cause.source();
                }
            }
        }
        let _ = writeln!(stderr(), "{}", lines.join("\n"));
    }
}

/// One line. A reader that has gone away, as `head` does, is no reason to stop.
pub fn line(text: impl fmt::Display) {
    let _ = writeln!(stdout(), "{text}");
}

/// A line below a step.
pub fn note(text: impl fmt::Display) {
    line(format_args!("    {text}"));
}

/// Text as it arrives.
pub fn piece(text: &str) {
    let _ = write!(stdout(), "{text}").and_then(|()| stdout().flush());
}

/// What somebody else wrote, without what would move the cursor or change colours.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

pub fn spent(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f32())
    }
}

/// A bar for `total` things; it hides by itself where nobody could see it move.
pub fn bar(name: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    let style = ProgressStyle::with_template("    {msg:<18} {bar:30} {pos:>6}/{len} {per_sec:>12}  {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name);
    bar
}
