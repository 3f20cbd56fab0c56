//! The command line.
use clap::{CommandFactory as _, Parser, error::ErrorKind};

/// Signs in through the browser, shows who is signed in, starts again with what was stored, and signs out.
///
/// Without options it runs against an embedded cloud that lives as long as the program; its own page stands for the
/// provider and lets you choose who you are. With --url and --key it runs against a project of yours, where the provider
/// has to be switched on.
#[derive(Debug, Parser)]
#[command(name = "sign_in", version)]
pub struct Args {
    /// Address of a project, such as https://project.example.com [default: an embedded cloud]
    #[arg(long, env = "CLOUD_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The project's publishable (or anon) key
    #[arg(long, env = "CLOUD_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Whom to sign in with, by the name that the cloud knows
    #[arg(long, value_name = "NAME", default_value = "github")]
    pub provider: String,
    /// Completes the provider's page by itself, for machines without a browser (embedded cloud only)
    #[arg(long, conflicts_with = "paste")]
    pub headless: bool,
    /// Opens nothing: shows the address, for a browser on any device, and takes what you paste from there
    #[arg(long)]
    pub paste: bool,
}

impl Args {
    /// What the parser cannot see: which options belong together. A variable that is set to nothing is not set.
    pub fn check(mut self) -> Result<Self, Box<clap::Error>> {
        for option in [&mut self.url, &mut self.key] {
            option.take_if(|text| text.trim().is_empty());
        }
        let wrong = |text: &str| Err(Box::new(Self::command().error(ErrorKind::MissingRequiredArgument, text)));
        if self.url.is_some() != self.key.is_some() {
            return wrong(
                "--url and --key belong together (or CLOUD_URL and CLOUD_KEY; unset both to use the embedded cloud)",
            );
        }
        if self.url.is_some() && self.headless {
            return wrong("--headless is for the embedded cloud: a real provider wants to see a person");
        }
        Ok(self)
    }
}
