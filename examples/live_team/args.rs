//! The command line.
use clap::{CommandFactory as _, Parser, error::ErrorKind};

/// Lets three people meet in a workspace, live: presence, typing, messages, and a cut of the network in the middle.
///
/// Without options everything runs on an embedded cloud that lives as long as the program. With --url and --key it runs
/// against a project of yours, with three accounts of one organisation that share a password; there the cut is made on this
/// side, by giving the live connection up for a moment.
#[derive(Debug, Parser)]
#[command(name = "live_team", version)]
pub struct Args {
    /// Lines that each person says, before the cut and after it
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub lines: u16,
    /// Address of a project, such as https://project.example.com [default: an embedded cloud]
    #[arg(long, env = "CLOUD_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The project's publishable (or anon) key
    #[arg(long, env = "CLOUD_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Account of one of the three people; give it three times
    #[arg(long = "account", value_name = "EMAIL")]
    pub accounts: Vec<String>,
    /// The password of all three (better given as CLOUD_PASSWORD: arguments can be seen by other programs)
    #[arg(long, env = "CLOUD_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// The workspace of that project to meet in
    #[arg(long, value_name = "ID")]
    pub workspace: Option<String>,
}

impl Args {
    /// What the parser cannot see: which options belong together. A variable that is set to nothing is not set.
    pub fn check(mut self) -> Result<Self, Box<clap::Error>> {
        for option in [&mut self.url, &mut self.key, &mut self.password] {
            option.take_if(|text| text.trim().is_empty());
        }
        let wrong = |text: &str| Err(Box::new(Self::command().error(ErrorKind::MissingRequiredArgument, text)));
        if self.url.is_some() != self.key.is_some() {
            return wrong("--url and --key belong together (or CLOUD_URL and CLOUD_KEY)");
        }
        if self.url.is_some() && (self.accounts.len() != 3 || self.password.is_none() || self.workspace.is_none()) {
            return wrong(
                "a project of yours needs --account three times, --password (or CLOUD_PASSWORD) and --workspace",
            );
        }
        if self.url.is_none() && (!self.accounts.is_empty() || self.workspace.is_some()) {
            return wrong("--account and --workspace go with --url and --key: the embedded cloud has its own");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Args, String> {
        let all = ["live_team"].iter().chain(arguments);
        Args::try_parse_from(all).map_err(Box::new).and_then(Args::check).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_do_not_belong_together_are_named() {
        let url = ["--url", "http://127.0.0.1:1", "--key", "k"];
        assert!(parsed(&url[..2]).unwrap_err().contains("--url and --key belong together"));
        assert!(parsed(&url).unwrap_err().contains("--account three times"));
        assert!(parsed(&["--account", "a@b.c"]).unwrap_err().contains("go with --url"));
        assert!(parsed(&["--lines", "0"]).unwrap_err().contains("1..=1000"));
        let whole: Vec<_> = url.into_iter().chain(["--account", "a", "--account", "b", "--account", "c"]).collect();
        let whole = [&whole[..], &["--password", "p"]].concat();
        assert!(parsed(&whole).unwrap_err().contains("and --workspace"));
        assert_eq!(parsed(&[&whole[..], &["--workspace", "w"]].concat()).unwrap().accounts.len(), 3);
    }
}
