//! The one table from GoTrue's error codes to ours.
use cloud_client::ErrorCode;

#[allow(clippy::wildcard_imports, reason = "the table names nearly all of them")]
use super::*;

/// What a code of the auth server means here. `None`: an ordinary API error.
pub(crate) fn from_server(word: &str) -> Option<ErrorCode> {
    Some(match word {
        "invalid_credentials" => INVALID_CREDENTIALS,
        "email_not_confirmed" | "phone_not_confirmed" => EMAIL_NOT_CONFIRMED,
        "user_already_exists" | "email_exists" | "phone_exists" | "identity_already_exists" => USER_EXISTS,
        "weak_password" => WEAK_PASSWORD,
        "same_password" => SAME_PASSWORD,
        "over_request_rate_limit" => AUTH_RATE_LIMITED,
        "over_email_send_rate_limit" | "over_sms_send_rate_limit" => MAIL_RATE_LIMITED,
        "otp_expired" => OTP_EXPIRED,
        "otp_disabled" => OTP_DISABLED,
        "flow_state_not_found"
        | "flow_state_expired"
        | "flow_state_already_used"
        | "bad_oauth_state"
        | "bad_oauth_callback" => FLOW_EXPIRED,
        "bad_code_verifier" => CODE_VERIFIER,
        "insufficient_aal" => MFA_REQUIRED,
        "mfa_verification_failed" => MFA_CODE_WRONG,
        "mfa_challenge_expired" | "mfa_ip_address_mismatch" => MFA_CHALLENGE_EXPIRED,
        "mfa_verification_rejected" => MFA_REFUSED,
        "mfa_factor_not_found" => MFA_FACTOR_UNKNOWN,
        "mfa_factor_name_conflict" => MFA_NAME_TAKEN,
        "too_many_enrolled_mfa_factors" => MFA_TOO_MANY,
        "mfa_totp_enroll_not_enabled" | "mfa_totp_verify_not_enabled" => MFA_DISABLED,
        "reauthentication_needed" => REAUTHENTICATION_NEEDED,
        "reauthentication_not_valid" => NONCE_INVALID,
        "current_password_required" => CURRENT_PASSWORD_REQUIRED,
        "current_password_invalid" => CURRENT_PASSWORD_WRONG,
        "user_sso_managed" => SSO_MANAGED,
        "sso_provider_not_found" => SSO_UNKNOWN,
        "manual_linking_disabled" => LINKING_DISABLED,
        "single_identity_not_deletable" | "email_conflict_identity_not_deletable" => IDENTITY_NEEDED,
        "identity_not_found" => IDENTITY_UNKNOWN,
        "signup_disabled" => SIGNUP_DISABLED,
        "email_provider_disabled"
        | "phone_provider_disabled"
        | "anonymous_provider_disabled"
        | "provider_disabled"
        | "saml_provider_disabled"
        | "oauth_provider_not_supported" => PROVIDER_DISABLED,
        "user_banned" => USER_BANNED,
        "captcha_failed" => CAPTCHA,
        "email_address_invalid" | "email_address_not_authorized" => EMAIL_INVALID,
        "refresh_token_not_found"
        | "refresh_token_already_used"
        | "session_not_found"
        | "session_expired"
        | "user_not_found"
        | "invalid_grant" => SESSION_OVER,
        _ => return None,
    })
}

/// Whether a refresh refused with `word` ends the session for good (A6). Everything else is a passing failure.
pub(crate) fn ends_session(word: &str) -> bool {
    from_server(word) == Some(SESSION_OVER) || word == "user_banned"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a06_only_the_known_words_end_a_session() {
        for word in [
            "refresh_token_not_found",
            "refresh_token_already_used",
            "session_not_found",
            "session_expired",
            "user_not_found",
            "user_banned",
            "invalid_grant",
        ] {
            assert!(ends_session(word), "{word}");
        }
        for word in
            ["", "conflict", "unknown", "validation_failed", "bad_jwt", "over_request_rate_limit", "hook_timeout"]
        {
            assert!(!ends_session(word), "{word}");
        }
    }

    #[test]
    fn every_code_is_named_after_its_area() {
        for word in ["invalid_credentials", "signup_disabled", "weak_password", "user_banned", "captcha_failed"] {
            let code = from_server(word).unwrap();
            assert!(code.as_str().starts_with("auth.") && !code.advice().is_empty(), "{word}");
        }
    }
}
