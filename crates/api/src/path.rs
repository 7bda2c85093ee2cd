//! The variables of a path that may hold any character.
//!
//! A caller encodes such a variable once (RFC 3986, 2.1). API Gateway's REST API passes `pathParameters` on as they were
//! sent, still encoded, and so does LocalStack; MiniStack decodes them. The path itself cannot be used: a framework decodes
//! it again, and in a path that was decoded already, a `/`, `?` or `#` of the variable ends it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lambda_http::RequestExt;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use percent_encoding::percent_decode_str;

/// The variables of the path, by the names that they have in `template.yaml`.
#[derive(Debug, Clone)]
pub struct PathVariables(QueryMap);

impl PathVariables {
    /// A variable, decoded exactly once. A `+` is a plus: only in a form is it a space.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.first(name).map(decode)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathVariables {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.path_parameters()))
    }
}

/// Decodes what is encoded. What cannot be a part of a path as it is, the emulator has decoded. It cannot be told apart
/// where a decoded value looks encoded: there, an address with `%40` in its name is not found on MiniStack.
fn decode(value: &str) -> String {
    if !is_encoded(value) {
        return value.to_owned();
    }
    percent_decode_str(value).decode_utf8().map_or_else(|_| value.to_owned(), Into::into)
}

/// Whether this may be a part of a path: of `pchar` and `/` (RFC 3986, 3.3), with two hexadecimal digits after each `%`.
fn is_encoded(value: &str) -> bool {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_decoded_exactly_once() {
        for (received, expected) in [
            ("asha@example.com", "asha@example.com"),
            ("asha%40example.com", "asha@example.com"),
            ("a+b@example.com", "a+b@example.com"),
            ("a%2Bb@example.com", "a+b@example.com"),
            ("a%2fb%40example.com", "a/b@example.com"),
            ("a%252Bb%40example.com", "a%2Bb@example.com"),
            ("%2525%40example.com", "%25@example.com"),
            ("%C3%A9", "é"),
        ] {
            assert_eq!(decode(received), expected, "as API Gateway sends it");
        }
        for received in [
            "a/b@example.com",
            "a?b@example.com",
            "#@example.com",
            "a%b@example.com",
            "100%",
            "%zz",
            "é",
            "a b",
            "{%41}",
        ] {
            assert_eq!(decode(received), received, "as an emulator sends it");
        }
        assert_eq!(decode("%FF%40"), "%FF%40", "no text");
    }
}
