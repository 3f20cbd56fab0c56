//! The codes that this crate gives, beside those of `cloud-client`.
//!
//! What the auth server's own words mean is in one table, `words`. A word it does not know stays an ordinary API error
//! that keeps the word (`Error::server_code`).
mod account;
mod words;

use cloud_client::{
    ErrorCode,
    ErrorKind::{Conflict, Forbidden, InvalidInput, Local, NotFound, Protocol, RateLimited, Timeout, Unauthenticated},
};

pub use self::account::*;
pub(crate) use self::words::{ends_session, from_server};
pub use crate::store::codes::*;

/// Unknown address or wrong password; the server does not say which.
pub const INVALID_CREDENTIALS: ErrorCode = ErrorCode::new(
    "auth.invalid_credentials",
    Unauthenticated,
    "Email or password is wrong",
    "Check both; use \"forgot password\" if it stays.",
);
/// The address was never confirmed.
pub const EMAIL_NOT_CONFIRMED: ErrorCode = ErrorCode::new(
    "auth.email_not_confirmed",
    Forbidden,
    "The email address is not confirmed yet",
    "Open the link in the confirmation mail, then sign in.",
);
/// Somebody signed up with this address before.
pub const USER_EXISTS: ErrorCode = ErrorCode::new(
    "auth.user_exists",
    Conflict,
    "There is already an account with this address",
    "Sign in instead, or reset the password.",
);
/// The password is too weak; `Error::detail` names the reasons.
pub const WEAK_PASSWORD: ErrorCode = ErrorCode::new(
    "auth.weak_password",
    InvalidInput,
    "The password is too weak",
    "Choose a longer one that is not on a list of leaked passwords.",
);
/// Too many tries, or too many mails.
pub const AUTH_RATE_LIMITED: ErrorCode = ErrorCode::new(
    "auth.rate_limited",
    RateLimited,
    "The sign-in service asks to slow down",
    "Wait a minute or more, then try again; an existing login is kept.",
);
/// New accounts are switched off.
pub const SIGNUP_DISABLED: ErrorCode = ErrorCode::new(
    "auth.signup_disabled",
    Forbidden,
    "New accounts are switched off in this cloud",
    "Ask whoever runs the cloud for an account.",
);
/// This way of signing in is switched off.
pub const PROVIDER_DISABLED: ErrorCode = ErrorCode::new(
    "auth.provider_disabled",
    Forbidden,
    "This way of signing in is switched off in this cloud",
    "Sign in another way.",
);
/// The account is banned.
pub const USER_BANNED: ErrorCode =
    ErrorCode::new("auth.user_banned", Forbidden, "This account is suspended", "Ask whoever runs the cloud.");
/// The cloud wants proof of a human.
pub const CAPTCHA: ErrorCode = ErrorCode::new(
    "auth.captcha_required",
    Forbidden,
    "The cloud wants a captcha to be solved",
    "Sign in through the browser, or switch captchas off for this app.",
);
/// The session has ended at the server.
pub const SESSION_OVER: ErrorCode = ErrorCode::new(
    "auth.session_over",
    Unauthenticated,
    "The session has ended",
    "Sign in again; nothing local was lost.",
);
/// Nobody is signed in.
pub const NOT_SIGNED_IN: ErrorCode =
    ErrorCode::new("auth.not_signed_in", Unauthenticated, "Nobody is signed in", "Sign in, then repeat.");
/// The address cannot be one.
pub const EMAIL_INVALID: ErrorCode = ErrorCode::new(
    "auth.email_invalid",
    InvalidInput,
    "This is not a usable email address",
    "Give an address such as ada@example.com.",
);
/// The number cannot be one.
pub const PHONE_INVALID: ErrorCode = ErrorCode::new(
    "auth.phone_invalid",
    InvalidInput,
    "This is not a usable phone number",
    "Give it with its country code, such as +4930123456.",
);
/// A code or a mailed link is wrong, used or too old.
pub const OTP_EXPIRED: ErrorCode = ErrorCode::new(
    "auth.otp_expired",
    Unauthenticated,
    "The code or link is wrong or too old",
    "Type the newest code, or ask for another one.",
);
/// Nobody has an account with this address, and none was to be made.
pub const OTP_DISABLED: ErrorCode = ErrorCode::new(
    "auth.otp_disabled",
    Forbidden,
    "There is no account with this address",
    "Sign up first, or let the code make an account.",
);
/// Too many mails or messages; `Error::retry_after` tells how long to wait.
pub const MAIL_RATE_LIMITED: ErrorCode = ErrorCode::new(
    "auth.mail_rate_limited",
    RateLimited,
    "A mail or message was sent a moment ago",
    "Look for it, also among the spam; ask again when the wait is over.",
);
/// The way through the browser took too long, or its code was used before.
pub const FLOW_EXPIRED: ErrorCode = ErrorCode::new(
    "auth.flow_expired",
    Unauthenticated,
    "This sign-in is no longer open",
    "Begin again; a code from the browser is good once and for five minutes.",
);
/// The code from the browser belongs to another attempt.
pub const CODE_VERIFIER: ErrorCode = ErrorCode::new(
    "auth.code_verifier",
    Unauthenticated,
    "The code belongs to a sign-in that was begun elsewhere",
    "Begin again, and open the link on the device that asked for it.",
);
/// An answer from a browser belongs to no sign-in that waits.
pub const FLOW_UNKNOWN: ErrorCode = ErrorCode::new(
    "auth.flow_unknown",
    NotFound,
    "No sign-in waits for this answer",
    "Begin the sign-in again; an answer counts once, and for the newest five sign-ins only.",
);
/// The user, or the provider for them, said no.
pub const BROWSER_DENIED: ErrorCode = ErrorCode::new(
    "auth.browser_denied",
    Forbidden,
    "The sign-in was declined in the browser",
    "Sign in again if that was not intended, or take another way.",
);
/// The provider or the cloud ended the sign-in; `Error::detail` has its words.
pub const BROWSER_REFUSED: ErrorCode = ErrorCode::new(
    "auth.browser_refused",
    Forbidden,
    "The sign-in was refused while the browser was away",
    "Sign in again; if it stays, whoever runs the cloud has to look at its settings for this provider.",
);
/// The browser did not come back in time, or came back elsewhere.
pub const BROWSER_TIMEOUT: ErrorCode = ErrorCode::new(
    "auth.browser_timeout",
    Timeout,
    "The browser did not come back in time",
    "If it ended on another site, the cloud does not accept the app's redirect address: add http://127.0.0.1:*/** to \
     its list, or paste the address that the browser shows.",
);
/// No browser could be started.
pub const BROWSER_UNAVAILABLE: ErrorCode = ErrorCode::new(
    "auth.browser_unavailable",
    Local,
    "No browser could be opened",
    "Open the sign-in address by hand; it may be on another device, then paste the address where the browser ends.",
);
/// What was pasted, or came as a link, is no answer to a sign-in.
pub const CALLBACK_INVALID: ErrorCode = ErrorCode::new(
    "auth.callback_invalid",
    InvalidInput,
    "This is neither a sign-in code nor the address of one",
    "Paste the whole address that the browser shows after signing in.",
);
/// A provider, a parameter or a redirect address that cannot be used.
pub const REDIRECT_INVALID: ErrorCode = ErrorCode::new(
    "auth.redirect_invalid",
    InvalidInput,
    "The browser cannot be sent there",
    "Name the provider as the cloud does, and redirect to https, this machine or an app's own scheme.",
);
/// The cloud gave an address that must not be opened (G8).
pub const ADDRESS_UNTRUSTED: ErrorCode = ErrorCode::new(
    "auth.address_untrusted",
    Protocol,
    "The cloud gave an address that is not safe to open",
    "Whoever runs the cloud has to look at its settings for this provider; it must be an https address.",
);
/// Nothing could be bound for the browser to come back to.
pub const LISTENER_FAILED: ErrorCode = ErrorCode::new(
    "auth.listener_failed",
    Local,
    "Nothing could listen for the browser on this machine",
    "Let the browser come back to a link of the app's own scheme instead.",
);
/// The other service's token was not accepted.
pub const ID_TOKEN_REFUSED: ErrorCode = ErrorCode::new(
    "auth.id_token_refused",
    Unauthenticated,
    "The token of the other service was not accepted",
    "Check that the raw nonce was given here and its hash there, and that the cloud knows the service.",
);
/// The password is empty, or longer than the server can tell apart.
pub const PASSWORD_INVALID: ErrorCode = ErrorCode::new(
    "auth.password_invalid",
    InvalidInput,
    "This password cannot be used",
    "Give a password of at least one character and at most 72 bytes.",
);
/// A sign-out or another sign-in came in between.
pub const SUPERSEDED: ErrorCode = ErrorCode::new(
    "auth.superseded",
    Conflict,
    "Another sign-in or a sign-out came in between",
    "Look at the status; sign in again if that was not intended.",
);
/// More refreshes in an hour than any clock explains (A9).
pub const REFRESH_PACED: ErrorCode = ErrorCode::new(
    "auth.refresh_paced",
    RateLimited,
    "The session was refreshed too often in the last hour",
    "It goes on by itself; check the clock of this machine if it stays.",
);
/// Too many callers wait for the session at once.
pub const BUSY: ErrorCode =
    ErrorCode::new("auth.busy", RateLimited, "Too many callers wait for the session", "Send fewer requests at once.");
/// No such account on this machine.
pub const ACCOUNT_UNKNOWN: ErrorCode = ErrorCode::new(
    "auth.account_unknown",
    NotFound,
    "There is no such account on this machine",
    "Choose one of the listed accounts, or add it.",
);
/// An organisation that the user is no member of.
pub const ORGANIZATION_UNKNOWN: ErrorCode = ErrorCode::new(
    "auth.organization_unknown",
    NotFound,
    "The user is not a member of this organisation",
    "Choose one of the user's organisations.",
);
/// The store of secrets failed.
pub const STORE_FAILED: ErrorCode = ErrorCode::new(
    "store.failed",
    Local,
    "The store of secrets could not be used",
    "Check disk space and the rights of the file; the login lasts until the app ends.",
);
/// The store of secrets did not answer in time.
pub const STORE_TIMEOUT: ErrorCode = ErrorCode::new(
    "store.timeout",
    Local,
    "The store of secrets did not answer in time",
    "Unlock the keyring if it asks; it is tried again.",
);
/// Another process holds the lock of the store.
pub const STORE_LOCKED: ErrorCode = ErrorCode::new(
    "store.locked",
    Local,
    "Another program holds the store of secrets",
    "It is tried again; close the other program if it hangs.",
);
/// What the store held could not be read; it was set aside, not deleted (D5).
pub const STORE_CORRUPT: ErrorCode = ErrorCode::new(
    "store.corrupt",
    Local,
    "The stored login could not be read",
    "It was set aside under another name; sign in again.",
);
