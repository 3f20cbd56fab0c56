//! Names that the server chooses from a list of its own: known ones as constants, every other kept as it came.

/// Declares a newtype over a text, with constants for the names that are known today.
macro_rules! open_name {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $constant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(std::borrow::Cow<'static, str>);

        impl $name {
            $($(#[$value_doc])* pub const $constant: Self = Self(std::borrow::Cow::Borrowed($value));)*

            /// The name as the server writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(std::borrow::Cow::Owned(name.to_owned()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use open_name;
