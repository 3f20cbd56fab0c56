//! Signing in through the browser: open the provider's page, come back, still be signed in after a restart, sign out.
//! Without arguments it starts the embedded cloud, whose provider page asks for nothing but who you want to be.
//!
//! Every step checks its result; the first one that fails is named, and the program ends with 1.
#![expect(clippy::disallowed_methods, reason = "a program may look at the clock to tell a person how long it took")]
#![expect(unreachable_pub, reason = "a program has no API")]
mod args;
mod headless;
#[path = "../quickstart/report.rs"]
#[expect(dead_code, reason = "partly for another example")]
mod report;
mod steps;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match args::Args::try_parse().map_err(Box::new).and_then(args::Args::check) {
        Ok(args) => args,
        Err(problem) => problem.exit(),
    };
    let mut report = report::Report::new();
    let outcome = tokio::select! {
        outcome = steps::run(&args, &mut report) => outcome,
        // The work is dropped by now, and with it the folder that held the login.
        Ok(()) = ctrl_c() => {
            report::line("\nStopped.");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(summary) => {
            report.summary(&summary);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_story_comes_to_its_end_without_a_browser() {
        let args = args::Args::try_parse_from(["sign_in", "--headless"]).unwrap().check().unwrap();
        let lines = steps::run(&args, &mut report::Report::new()).await.unwrap();
        assert!(lines.iter().any(|(name, value)| name == "person" && value.contains('@')), "{lines:?}");
    }

    #[tokio::test]
    async fn a_provider_that_the_cloud_does_not_know_is_an_end_and_no_wait() {
        let args = ["sign_in", "--headless", "--provider", "nobody"];
        let args = args::Args::try_parse_from(args).unwrap().check().unwrap();
        let mut report = report::Report::new();
        let run = tokio::time::timeout(std::time::Duration::from_secs(60), steps::run(&args, &mut report));
        let failure = run.await.unwrap().unwrap_err();
        let report::Cause::Check(cause) = failure.cause else { panic!("{failure:?}") };
        assert!(cause.contains("the last page says 400"), "{cause}");
    }

    #[test]
    fn options_that_do_not_belong_together_are_refused() {
        for wrong in [
            &["--url", "https://p.example.co"][..],
            &["--url", "https://p.example.co", "--key", "sb_publishable_x", "--headless"],
            &["--headless", "--paste"],
        ] {
            let parsed = args::Args::try_parse_from([&["sign_in"], wrong].concat());
            assert!(parsed.map_err(Box::new).and_then(args::Args::check).is_err(), "{wrong:?}");
        }
    }
}
