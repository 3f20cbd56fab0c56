//! `cargo xtask gates`: what a message, an event and a call cost, counted by valgrind and held against limits.
//!
//! gate → the bench that does one thing so often → the same more often → the difference, for one → its limit. Instructions
//! and allocations are counted and not timed, so a busy machine does not change them; what a program does before the first
//! time is in both runs and so in none of the results. One release build serves all gates. Only the thread that works is
//! counted, not the server that some benches have beside it. `docs/benchmarks.md` has the figures and what they mean.
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

use crate::{ci, metadata};

const VALGRIND: &str = "valgrind";
/// Runs at a time.
const WORKERS: usize = 2;

/// One thing that a bench does as often as it is told, by a variable such as `CODEC_BENCH="envelope 2.0.0 100"`.
#[derive(Clone, Copy, Debug)]
struct Work {
    bench: &'static str,
    order: &'static str,
    /// How often in either run.
    times: [u32; 2],
    /// How many messages, events or calls there are in one time.
    units: u32,
}

/// What is counted, and how much of it is too much.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Instructions(u64),
    Allocations(u64),
    /// So many times the instructions of other work.
    Ratio(f64, Work),
}

#[derive(Debug)]
struct Gate {
    name: &'static str,
    work: Work,
    limit: Limit,
}

const fn codec(order: &'static str) -> Work {
    Work { bench: "codec", order, times: [100, 600], units: 1 }
}

const fn receive(order: &'static str) -> Work {
    Work { bench: "receive", order, times: [2, 6], units: 500 }
}

const fn rest(order: &'static str) -> Work {
    Work { bench: "rest", order, times: [100, 400], units: 1 }
}

const fn sse(order: &'static str, units: u32) -> Work {
    Work { bench: "sse", order, times: [1, 3], units }
}

/// Crates that the benches below belong to.
const PACKAGES: [&str; 2] = ["cloud-client", "cloud-realtime"];

const GATES: &[Gate] = &[
    Gate { name: "envelope, 600 bytes", work: codec("envelope 2.0.0"), limit: Limit::Instructions(10_000) },
    Gate { name: "envelope, 600 bytes", work: codec("envelope 2.0.0"), limit: Limit::Allocations(2) },
    Gate { name: "envelope, 600 bytes, version 1", work: codec("envelope 1.0.0"), limit: Limit::Instructions(10_000) },
    Gate { name: "typed row, 600 bytes", work: codec("typed_row 2.0.0"), limit: Limit::Instructions(20_000) },
    Gate { name: "typed row, 600 bytes", work: codec("typed_row 2.0.0"), limit: Limit::Allocations(6) },
    Gate {
        name: "typed row, 600 bytes, version 1",
        work: codec("typed_row 1.0.0"),
        limit: Limit::Instructions(20_000),
    },
    Gate { name: "socket to typed row, of bare", work: receive("ours"), limit: Limit::Ratio(1.3, receive("bare")) },
    Gate { name: "REST read, of reqwest", work: rest("ours get"), limit: Limit::Ratio(1.15, rest("plain get")) },
    Gate { name: "REST write, of reqwest", work: rest("ours post"), limit: Limit::Ratio(1.15, rest("plain post")) },
    Gate {
        name: "event of 187 bytes, of eventsource-stream",
        work: sse("ours 187", 1_000),
        limit: Limit::Ratio(1.0, sse("other 187", 1_000)),
    },
    Gate {
        name: "one line, 4 MiB of 1 MiB",
        work: sse("line 4194304", 1),
        limit: Limit::Ratio(4.4, sse("line 1048576", 1)),
    },
    Gate {
        name: "small events in one chunk, 4 MiB of 1 MiB",
        work: sse("small 4194304", 1),
        limit: Limit::Ratio(4.4, sse("small 1048576", 1)),
    },
];

pub(crate) fn command() -> Result<(), String> {
    if quiet(Command::new(VALGRIND).arg("--version")).is_err() {
        let reason = format!("{VALGRIND} is not installed");
        if ci::on_ci_machine() {
            return Err(reason);
        }
        println!("skipped: {reason}");
        return Ok(());
    }
    let programs = build()?;
    let results = measure(&programs)?;
    let mut over = 0;
    for (gate, value) in GATES.iter().zip(results) {
        let (line, good) = verdict(gate, value);
        over += usize::from(!good);
        println!("{line}");
    }
    if over == 0 { Ok(()) } else { Err(format!("{over} of {} gates: more than the limit", GATES.len())) }
}

/// What was counted, beside its limit; and whether it keeps it.
fn verdict(gate: &Gate, value: f64) -> (String, bool) {
    let (limit, unit, digits) = match gate.limit {
        Limit::Instructions(limit) => (limit as f64, " instructions", 0),
        Limit::Allocations(limit) => (limit as f64, " allocations", 0),
        Limit::Ratio(limit, _) => (limit, "x", 2),
    };
    let good = value <= limit;
    let word = if good { "" } else { " TOO MUCH" };
    (format!("{:<42} {value:>7.digits$}{unit} (limit {limit}){word}", gate.name), good)
}

/// The benches' programs by name.
fn build() -> Result<Vec<(String, PathBuf)>, String> {
    let mut command = Command::new(metadata::cargo());
    command.args(["bench", "--no-run", "--message-format=json"]);
    command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    let mut benches: Vec<&str> = GATES.iter().map(|gate| gate.work.bench).collect();
    benches.dedup();
    command.args(benches.iter().flat_map(|bench| ["--bench", bench]));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo bench does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("the benches do not build: {}", output.status));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(|line| program(&serde_json::from_str(line).ok()?)).collect())
}

/// The program that a message of cargo is about.
fn program(message: &Value) -> Option<(String, PathBuf)> {
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), PathBuf::from(message["executable"].as_str()?)))
}

/// The value of every gate.
fn measure(programs: &[(String, PathBuf)]) -> Result<Vec<f64>, String> {
    let folder = std::env::temp_dir().join(format!("cloud-sdk-gates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<f64, String>>>> = Mutex::new(GATES.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(gate) = GATES.get(index) else { return };
                    let value = Counter { programs, file: folder.join(index.to_string()) }.value(gate);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results[index] = Some(value);
                }
            });
        }
    });
    // What is left there harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|result| result.unwrap_or_else(|| Err("not measured".to_owned()))).collect()
}

/// Counts, and keeps valgrind's file here.
struct Counter<'a> {
    programs: &'a [(String, PathBuf)],
    file: PathBuf,
}

impl Counter<'_> {
    fn value(&self, gate: &Gate) -> Result<f64, String> {
        match gate.limit {
            Limit::Instructions(_) => self.each(gate.work, Self::instructions),
            Limit::Allocations(_) => self.each(gate.work, Self::allocations),
            Limit::Ratio(_, other) => {
                Ok(self.each(gate.work, Self::instructions)? / self.each(other, Self::instructions)?)
            }
        }
    }

    /// What one unit of `work` costs.
    fn each(&self, work: Work, count: fn(&Self, Work, u32) -> Result<u64, String>) -> Result<f64, String> {
        let count = |times| count(self, work, times).map_err(|why| format!("{} `{}`: {why}", work.bench, work.order));
        let [few, many] = work.times;
        let more = count(many)?.saturating_sub(count(few)?);
        Ok(more as f64 / f64::from(many - few) / f64::from(work.units))
    }

    /// Of the first thread: a server beside it has another.
    fn instructions(&self, work: Work, times: u32) -> Result<u64, String> {
        let file = format!("--callgrind-out-file={}", self.file.display());
        self.run(&["--tool=callgrind", "--separate-threads=yes", &file], work, times)?;
        let first = PathBuf::from(format!("{}-01", self.file.display()));
        let text = std::fs::read_to_string(first).map_err(|error| format!("valgrind wrote nothing: {error}"))?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        totals.ok_or_else(|| "valgrind counted nothing".to_owned())
    }

    fn allocations(&self, work: Work, times: u32) -> Result<u64, String> {
        let said = self.run(&["--tool=memcheck", "--leak-check=no"], work, times)?;
        allocations(&said).ok_or_else(|| "valgrind did not say how many allocations".to_owned())
    }

    fn run(&self, tool: &[&str], work: Work, times: u32) -> Result<String, String> {
        let named = self.programs.iter().find(|(name, _)| name == work.bench);
        let (_, program) = named.ok_or("cargo built no such bench")?;
        let variable = format!("{}_BENCH", work.bench.to_uppercase());
        quiet(Command::new(VALGRIND).args(tool).arg(program).env(variable, format!("{} {times}", work.order)))
    }
}

/// The number in `total heap usage: 1,234 allocs, …`.
fn allocations(said: &str) -> Option<u64> {
    let number = said.split_once("total heap usage: ")?.1.split(' ').next()?;
    number.replace(',', "").parse().ok()
}

/// Runs a program to its end; what it said on its error output, which nobody sees unless it fails.
fn quiet(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{}\n{said}", output.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_its_limit_is_good_and_one_above_it_is_not() {
        let gate = |limit| Gate { name: "work", work: codec("envelope 2.0.0"), limit };
        for (limit, value, good) in [
            (Limit::Instructions(100), 100.0, true),
            (Limit::Instructions(100), 101.0, false),
            (Limit::Allocations(2), 2.5, false),
            (Limit::Ratio(1.3, codec("value 2.0.0")), 1.29, true),
            (Limit::Ratio(1.3, codec("value 2.0.0")), 1.31, false),
            (Limit::Ratio(1.3, codec("value 2.0.0")), f64::NAN, false),
        ] {
            let (line, is_good) = verdict(&gate(limit), value);
            assert_eq!((is_good, line.contains("TOO MUCH")), (good, !good), "{line}");
        }
    }

    #[test]
    fn numbers_are_found_in_what_valgrind_and_cargo_say() {
        let said = "==1== HEAP SUMMARY:\n==1==   total heap usage: 1,234,567 allocs, 3 frees, 9 bytes allocated\n";
        assert_eq!((allocations(said), allocations("killed")), (Some(1_234_567), None));
        let message = serde_json::json!({ "target": { "name": "codec" }, "executable": "/t/codec-1" });
        assert_eq!(program(&message), Some(("codec".to_owned(), PathBuf::from("/t/codec-1"))));
        assert_eq!(program(&serde_json::json!({ "target": { "name": "serde" }, "executable": null })), None);
    }

    #[test]
    fn the_benches_exist_and_know_their_variable() {
        let root = metadata::workspace().unwrap().root;
        for gate in GATES {
            let places = PACKAGES.map(|package| root.join(package).join(format!("benches/{}.rs", gate.work.bench)));
            let text = places.iter().find_map(|place| std::fs::read_to_string(place).ok());
            let variable = format!("\"{}_BENCH\"", gate.work.bench.to_uppercase());
            assert!(text.is_some_and(|text| text.contains(&variable)), "{}", gate.work.bench);
        }
    }
}
