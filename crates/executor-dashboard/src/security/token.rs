//! The token that lets somebody in.

use std::fmt;

use subtle::ConstantTimeEq;

/// Bytes of randomness in a token that is made here.
const BYTES: usize = 32;

/// The fewest characters of a token that somebody else has made.
const LENGTH_MIN: usize = 32;

/// A secret that everybody who looks has to know. Its `Debug` does not show it.
#[derive(Clone)]
pub struct Token(String);

/// The text cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnfitToken;

impl fmt::Display for UnfitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a token has at least {LENGTH_MIN} letters, digits, `-` or `_`"
        )
    }
}

impl std::error::Error for UnfitToken {}

impl Token {
    /// Makes one of 256 random bits, in hexadecimal digits.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn random() -> Result<Self, std::io::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Self(digits.collect()))
    }

    /// Takes one that was made elsewhere, without the space around it.
    ///
    /// # Errors
    ///
    /// It is shorter than 32 characters, or has others than letters, digits, `-` and `_`.
    pub fn new(text: &str) -> Result<Self, UnfitToken> {
        let text = text.trim();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match text.len() >= LENGTH_MIN && text.bytes().all(is_plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(UnfitToken),
        }
    }

    /// Returns the secret, to show it once or to keep it in a file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether somebody knows it. How long the comparison takes says nothing about where they differ.
    pub(crate) fn is(&self, told: &str) -> bool {
        self.0.as_bytes().ct_eq(told.trim().as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Token, UnfitToken};

    #[test]
    fn j02_a_token_is_long_and_stays_secret() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.as_str().len(), 64);
        assert_ne!(one.as_str(), other.as_str());
        assert!(one.is(one.as_str()) && !one.is(other.as_str()) && !one.is(""));
        assert!(!format!("{one:?}").contains(one.as_str()));
        assert_eq!(Token::new("short").err(), Some(UnfitToken));
        assert_eq!(
            Token::new(&format!("{};", "a".repeat(40))).err(),
            Some(UnfitToken)
        );
        assert!(Token::new(&format!(" {}\n", "a".repeat(32))).is_ok());
    }
}
