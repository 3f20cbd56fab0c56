//! The codes of account and second factor; found by users under [`codes`](crate::codes).
use cloud_client::{
    ErrorCode,
    ErrorKind::{Conflict, Forbidden, InvalidInput, NotFound},
};

/// The new password is the old one.
pub const SAME_PASSWORD: ErrorCode =
    ErrorCode::new("auth.same_password", InvalidInput, "This is the password already", "Choose another one.");
/// The last sign-in was long ago.
pub const REAUTHENTICATION_NEEDED: ErrorCode = ErrorCode::new(
    "auth.reauthentication_needed",
    Forbidden,
    "The cloud wants to be sure who this is",
    "Call `reauthenticate`, then repeat with the nonce from the mail.",
);
/// The nonce of a reauthentication is wrong.
pub const NONCE_INVALID: ErrorCode = ErrorCode::new(
    "auth.nonce_invalid",
    InvalidInput,
    "The nonce is wrong or too old",
    "Give the one of the newest mail, or ask for another.",
);
/// The present password has to be given.
pub const CURRENT_PASSWORD_REQUIRED: ErrorCode = ErrorCode::new(
    "auth.current_password_required",
    InvalidInput,
    "The password until now is wanted, too",
    "Ask for it and give it with the change.",
);
/// The present password is wrong.
pub const CURRENT_PASSWORD_WRONG: ErrorCode = ErrorCode::new(
    "auth.current_password_wrong",
    Forbidden,
    "The password until now is wrong",
    "Check it; use \"forgot password\" if it stays.",
);
/// The account belongs to an organisation's service.
pub const SSO_MANAGED: ErrorCode = ErrorCode::new(
    "auth.sso_managed",
    Forbidden,
    "This account is managed elsewhere",
    "Change it in the organisation's own service.",
);
/// No single sign-on is set up for this domain.
pub const SSO_UNKNOWN: ErrorCode = ErrorCode::new(
    "auth.sso_unknown",
    NotFound,
    "The cloud knows no such organisation",
    "Check the address, or sign in another way.",
);
/// Linking is switched off.
pub const LINKING_DISABLED: ErrorCode = ErrorCode::new(
    "auth.linking_disabled",
    Forbidden,
    "Linking services is switched off in this cloud",
    "Ask whoever runs the cloud.",
);
/// The last identity cannot be taken away.
pub const IDENTITY_NEEDED: ErrorCode = ErrorCode::new(
    "auth.identity_needed",
    Conflict,
    "Without this the user could not sign in any more",
    "Link another service first.",
);
/// There is no such identity.
pub const IDENTITY_UNKNOWN: ErrorCode =
    ErrorCode::new("auth.identity_unknown", NotFound, "The account has no such service", "List the identities again.");
/// A second factor is wanted.
pub const MFA_REQUIRED: ErrorCode = ErrorCode::new(
    "auth.mfa_required",
    Forbidden,
    "This needs the second factor",
    "Verify a code of the authenticator app, then repeat.",
);
/// The second factor's code is wrong.
pub const MFA_CODE_WRONG: ErrorCode = ErrorCode::new(
    "auth.mfa_code_wrong",
    InvalidInput,
    "The code is wrong",
    "Type the newest code; check the clock of the device that shows it.",
);
/// The challenge is too old, or of another address.
pub const MFA_CHALLENGE_EXPIRED: ErrorCode =
    ErrorCode::new("auth.mfa_challenge_expired", Conflict, "The time for this code is over", "Open another challenge.");
/// A rule of the cloud refused the code.
pub const MFA_REFUSED: ErrorCode = ErrorCode::new(
    "auth.mfa_refused",
    Forbidden,
    "The cloud did not let the second factor count",
    "Wait a while, then try again; ask whoever runs the cloud.",
);
/// There is no such factor.
pub const MFA_FACTOR_UNKNOWN: ErrorCode =
    ErrorCode::new("auth.mfa_factor_unknown", NotFound, "The account has no such factor", "List the factors again.");
/// The name is taken.
pub const MFA_NAME_TAKEN: ErrorCode =
    ErrorCode::new("auth.mfa_name_taken", Conflict, "Another factor has this name", "Choose another name.");
/// No more factors fit.
pub const MFA_TOO_MANY: ErrorCode =
    ErrorCode::new("auth.mfa_too_many", Conflict, "The account has as many factors as it may", "Take one away first.");
/// Second factors are switched off.
pub const MFA_DISABLED: ErrorCode = ErrorCode::new(
    "auth.mfa_disabled",
    Forbidden,
    "This kind of second factor is switched off in this cloud",
    "Ask whoever runs the cloud.",
);
