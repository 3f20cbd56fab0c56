//! Several processes share one login, and are killed at random while its tokens expire a thousand times.
//!
//! The program starts an embedded cloud, signs in once into one file, and starts itself again as members that use that
//! file. In each round an hour passes for all of them, every access token expires, and each member makes a call, so all
//! need a new token at the same moment; now and then one is killed in the middle (SIGKILL) and started again. The cloud
//! does not forgive a token that is spent twice. In the end it is asked what it saw.
//!
//! ```text
//! cargo run --example two_processes
//! ```
#![expect(clippy::disallowed_methods, reason = "a program may look at the clock to tell a person how long it took")]
#![expect(unreachable_pub, reason = "a program has no API")]
mod args;
mod member;
mod rounds;
mod table;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(orders) = member::orders() {
        return member::run(orders).await;
    }
    let args = args::Args::parse();
    let outcome = tokio::select! {
        outcome = rounds::run(&args, &[], true) => outcome,
        // The work is dropped by now, and with it the members and the folder that held their login.
        Ok(()) = ctrl_c() => {
            table::line("\nStopped.");
            return ExitCode::from(130);
        }
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(problem) => {
            table::line_to_stderr(&problem);
            return ExitCode::FAILURE;
        }
    };
    table::show(&outcome);
    if outcome.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test program starts itself as a member, too; otherwise there is nothing to do here but to say so.
    #[tokio::test]
    async fn a_member_works_when_it_is_ordered_to() {
        match member::orders() {
            Some(orders) => assert_eq!(member::run(orders).await, ExitCode::SUCCESS),
            None => assert!(std::env::var_os(member::ORDERS).is_none()),
        }
    }

    #[tokio::test]
    async fn a02_processes_that_are_killed_at_random_neither_lose_the_login_nor_spend_a_token_twice() {
        let args = args::Args::parse_from(["two_processes", "--expiries", "40", "--kill-percent", "40", "--seed", "7"]);
        let itself = ["--exact", "tests::a_member_works_when_it_is_ordered_to", "--nocapture"];
        let outcome = rounds::run(&args, &itself, false).await.unwrap();
        assert_eq!(outcome.faults(), Vec::<String>::new(), "{outcome:?}");
        assert_eq!(outcome.calls, 3 * 40);
        assert!(outcome.kills > 0 && outcome.server.rotated >= 40, "{outcome:?}");
    }
}
