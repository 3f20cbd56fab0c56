//! The command line.
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, error::ErrorKind};
use cloud_sdk::sync::link::LINK_FILE_NAME;

/// Signs two devices in, links a folder, syncs state and messages, asks an agent and streams a model's answer.
///
/// Without options everything runs on an embedded cloud that lives as long as the program. With --url and --key it runs
/// against a project of yours; it then needs an account there, and makes a workspace named "quickstart" if the account's
/// organisation has none.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version)]
pub struct Args {
    /// Address of a project, such as https://project.example.com [default: an embedded cloud]
    #[arg(long, env = "CLOUD_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The project's publishable (or anon) key
    #[arg(long, env = "CLOUD_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Account to sign in with
    #[arg(long, value_name = "EMAIL")]
    pub email: Option<String>,
    /// Its password (better given as CLOUD_PASSWORD: arguments can be seen by other programs)
    #[arg(long, env = "CLOUD_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Account of the second device [default: the same as the first]
    #[arg(long, value_name = "EMAIL", requires = "second_password")]
    pub second_email: Option<String>,
    /// Its password
    #[arg(long, env = "CLOUD_SECOND_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub second_password: Option<String>,
    /// A conversation of yours to sync: one JSON object a line, with role, content and, if known, created_at (RFC 3339, or
    /// seconds or milliseconds since 1970)
    #[arg(long, value_name = "FILE.jsonl")]
    pub conversation: Option<PathBuf>,
    /// A folder of yours to link [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// What to ask the model
    #[arg(long, value_name = "TEXT", default_value = "What does it mean for an app to be local-first?")]
    pub ask: String,
}

impl Args {
    /// What the parser cannot see: which options belong together. A variable that is set to nothing is not set.
    pub fn check(mut self) -> Result<Self, Box<clap::Error>> {
        for option in [&mut self.url, &mut self.key, &mut self.password, &mut self.second_password] {
            option.take_if(|text| text.trim().is_empty());
        }
        let wrong = |text: &str| Err(Box::new(Self::command().error(ErrorKind::MissingRequiredArgument, text)));
        if self.url.is_some() != self.key.is_some() {
            return wrong(
                "--url and --key belong together (or CLOUD_URL and CLOUD_KEY; unset both to use the embedded cloud)",
            );
        }
        if self.url.is_some() && (self.email.is_none() || self.password.is_none()) {
            return wrong(
                "a project of yours needs --email and --password (or CLOUD_PASSWORD) of an account there; to use the \
                 embedded cloud give no --url and unset CLOUD_URL and CLOUD_KEY",
            );
        }
        if self.url.is_none() && (self.email.is_some() || self.second_email.is_some()) {
            return wrong("--email goes with --url and --key: the embedded cloud has accounts of its own");
        }
        if let Some(folder) = self.workspace.as_ref().filter(|folder| !folder.is_dir()) {
            return wrong(&format!("--workspace {} is not a folder", folder.display()));
        }
        let linked = |folder: &&PathBuf| folder.join(LINK_FILE_NAME).symlink_metadata().is_ok();
        if let (None, Some(folder)) = (&self.url, self.workspace.as_ref().filter(linked)) {
            return wrong(&format!(
                "--workspace {} holds a {LINK_FILE_NAME} already, and a cloud that ends with this program must not \
                 take its place: choose another folder, or give --url and --key",
                folder.display()
            ));
        }
        Ok(self)
    }
}
