//! Where a person can be reached: the address that names an account.
use std::fmt;

use cloud_client::Error;
use serde::{Deserialize, Serialize};

use crate::codes::{EMAIL_INVALID, PHONE_INVALID};

/// The longest address that is sent, in bytes.
const LONGEST_BYTES: usize = 320;

/// An email address or a phone number. Plain text counts as an email address.
///
/// ```
/// use cloud_auth::Contact;
///
/// assert_eq!(Contact::from("ada@example.com"), Contact::email("ada@example.com"));
/// assert_eq!(Contact::phone("+49 30 123456").to_string(), "+49 30 123456");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Contact {
    /// An email address.
    Email(String),
    /// A phone number with its country code, such as `+4930123456`.
    Phone(String),
}

impl Contact {
    /// An email address.
    pub fn email(address: impl Into<String>) -> Self {
        Self::Email(address.into())
    }

    /// A phone number with its country code.
    pub fn phone(number: impl Into<String>) -> Self {
        Self::Phone(number.into())
    }

    /// What can be said without asking the server; the blanks around it are taken off.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        match self {
            Self::Email(text) => {
                let text = text.trim();
                let whole = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
                if !whole || text.len() > LONGEST_BYTES || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    return Err(Error::new(EMAIL_INVALID).during("checking the email address"));
                }
                Ok(Self::Email(text.to_owned()))
            }
            Self::Phone(text) => {
                let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '/')).collect();
                let number = digits.strip_prefix('+').unwrap_or(&digits);
                if !(5..=15).contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Error::new(PHONE_INVALID).during("checking the phone number"));
                }
                Ok(Self::Phone(digits))
            }
        }
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(text) | Self::Phone(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Contact {
    fn from(address: &str) -> Self {
        Self::email(address)
    }
}

impl From<String> for Contact {
    fn from(address: String) -> Self {
        Self::Email(address)
    }
}

impl From<&String> for Contact {
    fn from(address: &String) -> Self {
        Self::email(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_address_is_refused_before_anything_is_sent() {
        for bad in ["", "ada", "@b.c", "a@", "a b@c.d", "a@b.c\n@"] {
            assert_eq!(Contact::email(bad).checked().unwrap_err().code(), EMAIL_INVALID, "{bad}");
        }
        assert_eq!(Contact::email(" ada@example.com ").checked().unwrap(), Contact::email("ada@example.com"));
        for bad in ["", "+", "1234", "+4930x23456", "+1234567890123456"] {
            assert_eq!(Contact::phone(bad).checked().unwrap_err().code(), PHONE_INVALID, "{bad}");
        }
        assert_eq!(Contact::phone("+49 (30) 12-34/56").checked().unwrap(), Contact::phone("+4930123456"));
    }
}
