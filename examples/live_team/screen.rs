//! What a person sees: a chat room, with the time each line took beside it.
use std::{
    fmt,
    io::{IsTerminal as _, Write as _, stderr, stdout},
    sync::OnceLock,
    time::Duration,
};

const COLOURS: [&str; 3] = ["36", "33", "35"];
/// Room for what is said, before the figures.
const SAID_WIDTH: usize = 52;

/// Why the program ends with 1.
#[derive(Debug)]
pub struct Problem(pub String);

impl From<cloud_sdk::Error> for Problem {
    fn from(error: cloud_sdk::Error) -> Self {
        let detail = error.detail().map(|detail| format!("\n  the server said: {detail}")).unwrap_or_default();
        Self(format!("{error}{detail}"))
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

fn paint(code: &str, text: &str) -> String {
    static COLOUR: OnceLock<bool> = OnceLock::new();
    let colour = *COLOUR.get_or_init(|| stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// One line. A reader that has gone away, as `head` does, is no reason to stop.
pub fn line(text: impl fmt::Display) {
    let _ = writeln!(stdout(), "{text}");
}

pub fn name(person: usize, name: &str) -> String {
    paint(COLOURS.get(person).unwrap_or(&"0"), &format!("{name:<6}"))
}

/// What somebody said, and when the others had it.
pub fn said(person: usize, who: &str, text: &str, arrivals: &[(String, Duration)]) {
    let figures: Vec<_> = arrivals.iter().map(|(name, took)| format!("{name} {}", spent(*took))).collect();
    let figures = if figures.is_empty() { "kept here".to_owned() } else { figures.join(" · ") };
    line(format_args!("  {} {text:<SAID_WIDTH$} {}", name(person, who), paint("2", &figures)));
}

/// What happens in the room.
pub fn note(text: impl fmt::Display) {
    line(format_args!("         {}", paint("2;3", &text.to_string())));
}

/// What happens to the room.
pub fn event(text: impl fmt::Display) {
    line(format_args!("\n{}", paint("1", &format!("── {text} "))));
}

pub fn failure(problem: &Problem) {
    let _ = writeln!(stderr(), "\n{} {}", paint("31", "✗"), problem.0);
}

pub fn spent(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}
