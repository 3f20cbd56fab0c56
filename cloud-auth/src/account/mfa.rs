//! Second factors: an authenticator app's codes. A code that is right gives the session a better token.
use cloud_client::Error;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Challenge, Enrolment, Factor, FactorId, asked};
use crate::{
    auth::Auth,
    codes::MFA_CODE_WRONG,
    gotrue::{Gotrue, Upgrade},
    status::{Assurance, AuthStatus, User},
};

/// The second factors of whoever is signed in. Every method fails with `auth.not_signed_in` when nobody is.
///
/// ```no_run
/// # async fn run(auth: cloud_auth::Auth, show: impl Fn(&str), typed: String) -> Result<(), cloud_client::Error> {
/// use secrecy::ExposeSecret as _;
///
/// let enrolment = auth.mfa().enrol(Some("phone"), None).await?;
/// show(enrolment.qr_svg.expose_secret()); // scanned by the authenticator app
/// auth.mfa().verify_code(&enrolment.factor, typed.into()).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Mfa<'a>(pub(crate) &'a Auth);

impl Mfa<'_> {
    /// How well the present session is assured, and what the user could reach with a second factor. Asks nobody; `None`
    /// when nobody is signed in.
    pub fn assurance(&self) -> Option<Assurance> {
        match self.0.status() {
            AuthStatus::SignedIn(session) => Some(session.assurance),
            _ => None,
        }
    }

    /// All factors, also those whose first code was never given.
    ///
    /// # Errors
    ///
    /// `auth.not_signed_in`, or why the server could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn factors(&self) -> Result<Vec<Factor>, Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.factors().await).await
    }

    /// Begins to add an authenticator app. It counts once its first code was verified. `name` tells the user's factors
    /// apart, `issuer` is what the app shows; default: the cloud's address.
    ///
    /// # Errors
    ///
    /// `auth.mfa_name_taken`, `auth.mfa_too_many`, `auth.mfa_disabled`; `auth.mfa_required` when there is a verified
    /// factor, whose code comes first.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the factor may have been made, unverified.
    pub async fn enrol(&self, name: Option<&str>, issuer: Option<&str>) -> Result<Enrolment, Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.enrol_totp(name, issuer).await).await
    }

    /// Opens the time for one code, five minutes by default. An authenticator app needs nothing sent.
    ///
    /// # Errors
    ///
    /// `auth.mfa_factor_unknown`, `auth.rate_limited`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a challenge that nobody answers lapses.
    pub async fn challenge(&self, factor: &FactorId) -> Result<Challenge, Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.challenge(factor).await).await
    }

    /// Answers a challenge. The session that the server gives is stored before it is used and takes the place of the
    /// present one: same user, new token, higher assurance.
    ///
    /// # Errors
    ///
    /// `auth.mfa_code_wrong`, `auth.mfa_challenge_expired`, `auth.rate_limited`: the session stays as it is. A store
    /// that cannot be written refuses before the server is asked. `auth.superseded` when a sign-out or sign-in came in
    /// between.
    ///
    /// # Cancel safety
    ///
    /// Verifying goes on in the background when the future is dropped.
    pub async fn verify(&self, challenge: &Challenge, code: SecretString) -> Result<User, Error> {
        // Apps show a blank in the middle.
        let code: String = code.expose_secret().chars().filter(|c| !c.is_whitespace()).collect();
        if code.is_empty() {
            return Err(Error::new(MFA_CODE_WRONG).during("checking the code"));
        }
        let (factor, challenge) = (challenge.factor.clone(), challenge.id.clone());
        self.0.upgrade(Upgrade::Factor { factor, challenge, code: code.into() }).await
    }

    /// Opens a challenge and answers it.
    ///
    /// # Errors
    ///
    /// As [`Mfa::challenge`] and [`Mfa::verify`].
    ///
    /// # Cancel safety
    ///
    /// As [`Mfa::verify`].
    pub async fn verify_code(&self, factor: &FactorId, code: SecretString) -> Result<User, Error> {
        self.verify(&self.challenge(factor).await?, code).await
    }

    /// Takes a factor away. Without one the session falls back to the lower assurance, with a new token.
    ///
    /// # Errors
    ///
    /// `auth.mfa_required` when the factor is verified and the session is not; `auth.mfa_factor_unknown`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the factor may be gone.
    pub async fn unenrol(&self, factor: &FactorId) -> Result<(), Error> {
        asked(self.0, async |gotrue: Gotrue| gotrue.unenrol(factor).await).await?;
        // The token still speaks of the factor; a refresh that fails is tried again by itself.
        let _ = self.0.refresh().await;
        let _ = self.0.account().fetch().await;
        Ok(())
    }
}
