//! What a person sees: a chat room, with the time each line took beside it.
use std::{
    fmt,
    io::{IsTerminal as _, Write as _, stderr, stdout},
    sync::OnceLock,
    time::Duration,
};

const COLOURS: [&str; 6] = ["36", "33", "35", "32", "34", "31"];
/// Room for a name.
const NAME_WIDTH: usize = 8;
/// Room for what is said, before the figures.
const SAID_WIDTH: usize = 52;

/// Why the program ends with 1.
#[derive(Debug)]
pub struct Problem(pub String);

impl Problem {
    /// The same, with what was meant to happen before it.
    pub fn of(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

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
    let short = if name.chars().count() > NAME_WIDTH {
        format!("{}…", name.chars().take(NAME_WIDTH - 1).collect::<String>())
    } else {
        name.to_owned()
    };
    paint(COLOURS.get(person % COLOURS.len()).unwrap_or(&"0"), &format!("{short:<NAME_WIDTH$}"))
}

/// What somebody said, and beside it when the others had it.
pub fn said(person: usize, who: &str, text: &str, figures: &str) {
    line(format_args!("  {} {text:<SAID_WIDTH$} {}", name(person, who), paint("2", figures)));
}

/// When each of the others had a line, or, in a crowd, the first and the last of them.
pub fn arrivals(arrivals: &[(String, Duration)]) -> String {
    let times = || arrivals.iter().map(|(_, took)| *took);
    match (times().min(), times().max()) {
        (Some(first), Some(last)) if arrivals.len() > 3 => {
            format!("{} heard it, {} to {}", arrivals.len(), spent(first), spent(last))
        }
        _ => listed(arrivals),
    }
}

/// Everybody's time.
pub fn listed(times: &[(String, Duration)]) -> String {
    times.iter().map(|(name, took)| format!("{name} {}", spent(*took))).collect::<Vec<_>>().join(" · ")
}

/// What happens in the room.
pub fn note(text: impl fmt::Display) {
    line(format_args!("  {:NAME_WIDTH$} {}", "", paint("2;3", &text.to_string())));
}

/// What happens to the room.
pub fn event(text: impl fmt::Display) {
    line(format_args!("\n{}", paint("1", &format!("── {text}"))));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_told_by_its_first_and_its_last() {
        let all: Vec<_> = (1..=4).map(|n| (format!("P{n}"), Duration::from_millis(n * 10))).collect();
        assert_eq!(arrivals(&all[..2]), "P1 10 ms · P2 20 ms");
        assert_eq!(arrivals(&all), "4 heard it, 10 ms to 40 ms");
        assert_eq!(arrivals(&[]), "");
    }

    #[test]
    fn a_long_name_keeps_its_column() {
        assert_eq!((name(0, "Ada").as_str(), name(7, "Maximiliane").as_str()), ("Ada     ", "Maximil…"));
    }
}
