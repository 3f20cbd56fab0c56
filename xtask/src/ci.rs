//! `cargo xtask ci`: what CI runs, the same on every machine, step by step with its time.
//!
//! Every step runs, also after one has failed, so one run shows everything that is wrong; the table at
//! the end says which, and one failure fails the whole. On a CI machine (`CI=true`) no step may
//! take longer than [`STEP_LIMIT`].

use crate::{capabilities, deps, layers, metadata};
use std::{
    ffi::OsStr,
    fmt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Longest time for a step on a CI machine, as `timeout` writes it.
const STEP_LIMIT: &str = "45m";
/// What `timeout` answers when it had to end a step.
const TIMED_OUT: i32 = 124;

struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// A cargo command, with the variables it needs.
    Cargo { arguments: &'static [&'static str], variables: &'static [(&'static str, &'static str)] },
    /// A check of our own.
    Check(&'static str, fn() -> Result<(), String>),
    /// A cargo command of a program that may not be installed.
    Installed { program: &'static str, arguments: &'static [&'static str] },
    /// A chore of ours that needs a program which a CI machine is sure to have, and only that.
    Fetched { program: &'static str, arguments: &'static [&'static str] },
}

const NONE: &[(&str, &str)] = &[];

const STEPS: &[Step] = &[
    // The interop tests are among these; where a third party is missing they fail in CI and say so elsewhere. Nothing stops
    // at the first failure, so that none hides what the others would have shown.
    Step {
        name: "test",
        work: Work::Cargo {
            arguments: &["test", "--workspace", "--no-fail-fast"],
            variables: &[("CLOUD_SDK_INTEROP", "required")],
        },
    },
    Step { name: "fmt", work: Work::Cargo { arguments: &["fmt", "--all", "--check"], variables: NONE } },
    Step {
        name: "clippy",
        work: Work::Cargo {
            arguments: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
            variables: NONE,
        },
    },
    // As hosts build it: without what tests turn on.
    Step {
        name: "plain",
        work: Work::Cargo {
            arguments: &["clippy", "--workspace", "--lib", "--bins", "--", "-D", "warnings"],
            variables: NONE,
        },
    },
    Step {
        name: "doc",
        work: Work::Cargo {
            arguments: &["doc", "--workspace", "--no-deps"],
            variables: &[("RUSTDOCFLAGS", "-D warnings")],
        },
    },
    Step { name: "layers", work: Work::Check("check-layers", layers::command) },
    Step { name: "deps", work: Work::Check("check-deps", deps::command) },
    Step { name: "capabilities", work: Work::Check("check-capabilities", capabilities::command) },
    Step {
        name: "quickstart",
        work: Work::Cargo { arguments: &["run", "--quiet", "--example", "quickstart"], variables: NONE },
    },
    Step {
        name: "sign_in",
        work: Work::Cargo {
            arguments: &["run", "--quiet", "--example", "sign_in", "--", "--headless"],
            variables: NONE,
        },
    },
    Step {
        name: "live_team",
        work: Work::Cargo {
            arguments: &["run", "--quiet", "--example", "live_team", "--", "--lines", "3"],
            variables: NONE,
        },
    },
    Step { name: "gates", work: Work::Fetched { program: "valgrind", arguments: &["xtask", "gates"] } },
    Step { name: "fuzz", work: Work::Fetched { program: "cargo-fuzz", arguments: &["xtask", "fuzz"] } },
    Step {
        name: "deny",
        work: Work::Installed { program: "cargo-deny", arguments: &["deny", "check", "bans", "licenses", "sources"] },
    },
];

/// Variables that are set only where everything a step needs has to be there.
const ONLY_IN_CI: &[&str] = &["CLOUD_SDK_INTEROP"];

pub(crate) fn command(options: &[&str]) -> Result<(), String> {
    match parse(options)? {
        Choice::List => {
            for step in STEPS {
                println!("{:<11} {}", step.name, step.work);
            }
            Ok(())
        }
        Choice::Run(steps) => run(&steps),
    }
}

enum Choice {
    List,
    Run(Vec<&'static Step>),
}

fn parse(options: &[&str]) -> Result<Choice, String> {
    let mut only = Vec::new();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--list" => return Ok(Choice::List),
            "--only" => only.push(*rest.next().ok_or("--only needs the name of a step; --list shows them")?),
            other => return Err(format!("`{other}` is no option of ci; there are --list and --only <STEP>")),
        }
    }
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        return Err(format!("there is no step `{unknown}`; the steps are {}", names.join(", ")));
    }
    Ok(Choice::Run(STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect()))
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

fn run(steps: &[&Step]) -> Result<(), String> {
    let in_ci = on_ci_machine();
    let mut results = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.work);
        let started = now();
        let outcome = step.work.run(in_ci);
        if let Outcome::Failed(reason) | Outcome::Skipped(reason) = &outcome {
            println!("{reason}");
        }
        results.push((step.name, outcome, started.elapsed()));
    }
    println!("\n{}", table(&results));
    let failed: Vec<_> = results.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).collect();
    let Some((first, ..)) = failed.first() else { return Ok(()) };
    Err(format!("{} step(s) failed. Again: cargo xtask ci --only {first}", failed.len()))
}

/// Whether this is a CI machine, which has everything or is told what it lacks.
pub(crate) fn on_ci_machine() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

#[allow(clippy::disallowed_methods, reason = "the time a step took is for people to read")]
fn now() -> Instant {
    Instant::now()
}

fn table(results: &[(&str, Outcome, Duration)]) -> String {
    let line = |(name, outcome, time): &(&str, Outcome, Duration)| {
        let word = match outcome {
            Outcome::Passed => "ok",
            Outcome::Failed(_) => "FAILED",
            Outcome::Skipped(_) => "skipped",
        };
        format!("{name:<11} {word:<8} {:>7.1} s\n", time.as_secs_f64())
    };
    let total: Duration = results.iter().map(|(.., time)| *time).sum();
    let lines: String = results.iter().map(line).collect();
    format!(
        "{:<11} {:<8} {:>9}\n{lines}{:<11} {:<8} {:>7.1} s\n",
        "step",
        "result",
        "time",
        "",
        "",
        total.as_secs_f64()
    )
}

impl Work {
    fn run(&self, in_ci: bool) -> Outcome {
        match self {
            Self::Check(_, check) => check().map_or_else(Outcome::Failed, |()| Outcome::Passed),
            Self::Cargo { arguments, variables } => cargo(arguments, variables, in_ci),
            Self::Installed { program, .. } if !is_installed(program) => not_installed(program),
            Self::Fetched { program, .. } if !in_ci && !is_installed(program) => not_installed(program),
            Self::Installed { arguments, .. } | Self::Fetched { arguments, .. } => cargo(arguments, NONE, in_ci),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(name, _) => write!(f, "cargo xtask {name}"),
            Self::Installed { arguments, .. } | Self::Fetched { arguments, .. } => {
                write!(f, "cargo {}", arguments.join(" "))
            }
            Self::Cargo { arguments, variables } => {
                for (name, value) in *variables {
                    let when = if ONLY_IN_CI.contains(name) { "[in CI] " } else { "" };
                    write!(f, "{when}{name}=\"{value}\" ")?;
                }
                write!(f, "cargo {}", arguments.join(" "))
            }
        }
    }
}

fn not_installed(program: &str) -> Outcome {
    let hint = if program.starts_with("cargo-") { format!(" (cargo install {program})") } else { String::new() };
    Outcome::Skipped(format!("skipped: {program} is not installed{hint}"))
}

fn cargo(arguments: &[&str], variables: &[(&str, &str)], in_ci: bool) -> Outcome {
    let cargo = metadata::cargo();
    let mut command = if in_ci && is_installed("timeout") {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=30s", STEP_LIMIT, &cargo]);
        command
    } else {
        Command::new(cargo)
    };
    let variables = variables.iter().filter(|(name, _)| in_ci || !ONLY_IN_CI.contains(name)).copied();
    match command.args(arguments).envs(variables).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) if status.code() == Some(TIMED_OUT) => Outcome::Failed(format!("ended after {STEP_LIMIT}")),
        Ok(status) => Outcome::Failed(format!("failed: {status}")),
        Err(error) => Outcome::Failed(format!("does not start: {error}")),
    }
}

/// Whether a program of this name is on the path.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    is_in(&path, &name)
}

fn is_in(path: &OsStr, name: &str) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(options: &[&str]) -> Result<Vec<&'static str>, String> {
        match parse(options)? {
            Choice::List => Ok(vec!["--list"]),
            Choice::Run(steps) => Ok(steps.iter().map(|step| step.name).collect()),
        }
    }

    #[test]
    fn without_options_every_step_runs_in_order() {
        let expected = [
            "test",
            "fmt",
            "clippy",
            "plain",
            "doc",
            "layers",
            "deps",
            "capabilities",
            "quickstart",
            "sign_in",
            "live_team",
            "gates",
            "fuzz",
            "deny",
        ];
        assert_eq!(chosen(&[]).unwrap(), expected);
    }

    #[test]
    fn only_chooses_steps_and_keeps_their_order() {
        assert_eq!(chosen(&["--only", "doc", "--only", "fmt"]).unwrap(), ["fmt", "doc"]);
        assert_eq!(chosen(&["--list"]).unwrap(), ["--list"]);
    }

    #[test]
    fn a_wrong_option_is_an_error_that_names_the_right_ones() {
        assert!(chosen(&["--only", "tset"]).unwrap_err().contains("test, fmt, clippy"));
        assert!(chosen(&["--only"]).unwrap_err().contains("--list"));
        assert!(chosen(&["--all"]).unwrap_err().contains("--only <STEP>"));
    }

    #[test]
    fn the_list_shows_what_a_step_runs() {
        let shown: Vec<String> = STEPS.iter().map(|step| step.work.to_string()).collect();
        assert!(shown.contains(&"RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps".to_owned()));
        let tests = "[in CI] CLOUD_SDK_INTEROP=\"required\" cargo test --workspace --no-fail-fast";
        assert_eq!(shown.iter().filter(|step| *step == tests).count(), 1);
        assert_eq!(shown.iter().filter(|step| step.contains("cargo test")).count(), 1, "no test runs twice");
    }

    #[test]
    fn a_program_that_is_missing_is_skipped_and_not_failed() {
        let work = Work::Installed { program: "cargo-no-such-program", arguments: &["deny"] };
        let reason = "skipped: cargo-no-such-program is not installed (cargo install cargo-no-such-program)";
        assert_eq!(work.run(true), Outcome::Skipped(reason.to_owned()));
        let work = Work::Fetched { program: "cargo-no-such-program", arguments: &["deny"] };
        assert_eq!(work.run(false), Outcome::Skipped(reason.to_owned()));
    }

    #[test]
    fn a_check_that_finds_a_fault_fails_its_step() {
        let work = Work::Check("check", || Err("a fault".to_owned()));
        assert_eq!(work.run(false), Outcome::Failed("a fault".to_owned()));
    }

    #[test]
    fn the_table_has_a_line_for_each_step_and_a_sum() {
        let results = [
            ("fmt", Outcome::Passed, Duration::from_millis(1_500)),
            ("test", Outcome::Failed("failed".to_owned()), Duration::from_secs(60)),
            ("deny", Outcome::Skipped("skipped".to_owned()), Duration::ZERO),
        ];
        let table = table(&results);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1..4],
            [vec!["fmt", "ok", "1.5", "s"], vec!["test", "FAILED", "60.0", "s"], vec!["deny", "skipped", "0.0", "s"]]
        );
        assert_eq!(lines[4], ["61.5", "s"]);
    }
}
