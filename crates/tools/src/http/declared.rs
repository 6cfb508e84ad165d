//! What an agent's file may declare of an HTTP tool, and how its headers get their values.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};

use super::secrets::Secrets;
use super::{address, header_value};

/// The time limits that a tool may have, in milliseconds.
pub const HTTP_TIMEOUT_MS: RangeInclusive<u64> = 1..=600_000;
/// The time limit of a tool that declares none.
pub const HTTP_TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// Headers that belong to the connection or to Piton.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// # Errors
/// Why no tool can have this URL: it does not parse, is not http or https, holds a password, or its host is an
/// address that only `allow_private` opens.
pub fn check_url(url: &str, allow_private: bool) -> Result<(), String> {
    let url = parse(url)?;
    check_scheme(&url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not hold a user or password; use headers = { authorization = \"env:NAME\" }"
            .to_owned());
    }
    if allow_private { Ok(()) } else { address::check_literal(&url, address::is_public) }
}

/// # Errors
/// Why no tool can send this header: a name or value that HTTP does not allow, a name that is Piton's to set, or an
/// `env:` reference that names no variable.
pub fn check_header(name: &str, value: &str) -> Result<(), String> {
    let Ok(parsed) = HeaderName::try_from(name) else {
        return Err(format!("{name:?} is not a header name"));
    };
    if RESERVED.contains(&parsed.as_str()) {
        return Err(format!("the header {name} is set by Piton itself"));
    }
    match Reference::find(value) {
        Some(reference) if !is_variable(reference.variable) => Err(format!(
            "the header {name} refers to {:?}, which is no name of an environment variable",
            reference.variable
        )),
        None if header_value(value).is_none() => {
            Err(format!("the header {name} has a value that HTTP does not allow"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn parse(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("expected a URL such as https://example.com/path: {error}"))
}

pub(super) fn check_scheme(url: &Url) -> Result<(), String> {
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(())
    } else {
        Err(format!("only http and https addresses can be called, not {}:", url.scheme()))
    }
}

/// The headers of one call. What came from the environment is added to `secrets`.
pub(super) fn resolve(
    declared: &BTreeMap<String, String>,
    env: fn(&str) -> Option<String>,
    secrets: &mut Secrets,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in declared {
        check_header(name, value)?;
        let value = match Reference::find(value) {
            None => value.clone(),
            Some(Reference { before, variable }) => {
                let secret =
                    env(variable).map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
                let secret = secret.ok_or_else(|| {
                    format!("the header {name} needs the environment variable {variable}, which is not set")
                })?;
                let value = format!("{before}{secret}");
                secrets.add(&secret);
                value
            }
        };
        let name =
            HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is not a header name"))?;
        let value = header_value(&value)
            .ok_or_else(|| format!("the value of the header {name} is one that HTTP does not allow"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// `env:NAME`, or `env:NAME` after a word, as in `Bearer env:NAME`.
struct Reference<'a> {
    /// With its space.
    before: &'a str,
    variable: &'a str,
}

impl<'a> Reference<'a> {
    fn find(value: &'a str) -> Option<Self> {
        let at = value.rfind(' ').map_or(0, |space| space + 1);
        let variable = value[at..].strip_prefix("env:")?;
        Some(Self { before: &value[..at], variable })
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_judged_before_anything_is_called() {
        assert_eq!(check_url("https://example.com/a?b=c", false), Ok(()));
        assert_eq!(check_url("http://127.0.0.1:9000/entries", true), Ok(()));
        for (url, why) in [
            ("example.com", "expected a URL"),
            ("", "expected a URL"),
            ("http://", "expected a URL"),
            ("file:///etc/passwd", "not file:"),
            ("ftp://example.com/", "not ftp:"),
            ("https://me:word@example.com/", "must not hold a user"),
            ("http://127.0.0.1:9000/entries", "allow_private"),
        ] {
            let error = check_url(url, false).expect_err(url);
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_header_is_judged_before_anything_is_called() {
        for value in ["plain text", "env:TOKEN", "Bearer env:TOKEN", "env:_T0KEN"] {
            assert_eq!(check_header("authorization", value), Ok(()), "{value}");
        }
        for (name, value, why) in [
            ("no spaces", "x", "not a header name"),
            ("", "x", "not a header name"),
            ("Host", "x", "set by Piton"),
            ("Idempotency-Key", "x", "set by Piton"),
            ("x-a", "line\nbreak", "does not allow"),
            ("x-a", "env:", "no name of an environment variable"),
            ("x-a", "env:MY-TOKEN", "no name of an environment variable"),
        ] {
            let error = check_header(name, value).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }

    fn env(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("s3cret-token\n".to_owned()),
            "EMPTY" => Some(String::new()),
            "BROKEN" => Some("s3cret\u{0}".to_owned()),
            _ => None,
        }
    }

    fn resolved(value: &str) -> Result<HeaderMap, String> {
        resolve(&BTreeMap::from([("x-key".to_owned(), value.to_owned())]), env, &mut Secrets::default())
    }

    #[test]
    fn a_reference_gets_its_value_at_the_call() {
        assert_eq!(resolved("env:TOKEN").expect("set")["x-key"], "s3cret-token");
        assert_eq!(resolved("Bearer env:TOKEN").expect("set")["x-key"], "Bearer s3cret-token");
        assert_eq!(resolved("as it is").expect("set")["x-key"], "as it is");
        assert!(!format!("{:?}", resolved("env:TOKEN")).contains("s3cret"));
    }

    #[test]
    fn a_missing_or_empty_variable_is_named_and_a_bad_value_is_not_shown() {
        assert_eq!(
            resolved("env:MISSING").expect_err("missing"),
            "the header x-key needs the environment variable MISSING, which is not set"
        );
        assert!(resolved("env:EMPTY").expect_err("empty").contains("EMPTY"));
        let error = resolved("env:BROKEN").expect_err("a NUL");
        assert!(error.contains("x-key") && !error.contains("s3cret"), "{error}");
    }
}
