//! The API key: how it is compared, and the session token that is derived from it.
//!
//! A session is `EXPIRY.MAC`, where the MAC is made with the key: nothing is kept on the server, every process that
//! has the key knows the session, and another key ends all sessions.

use axum::http::{HeaderMap, HeaderValue, header};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const COOKIE: &str = "piton_session";
const SESSION_DAYS: i64 = 30;

/// Keeps digests only. Neither is ever printed.
pub(super) struct Key {
    digest: [u8; 32],
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    pub(super) fn new(key: &SecretString) -> Self {
        let digest: [u8; 32] = Sha256::digest(key.expose_secret()).into();
        // As long as a block of the hash; the rest is zeros, as HMAC itself would have it.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&digest);
        let mut mac = Hmac::new(&block.into());
        mac.update(b"piton session 1\n");
        Self { digest, mac }
    }

    /// Compares digests, in constant time: neither content nor length shows.
    pub(super) fn matches(&self, given: &SecretString) -> bool {
        self.is(given.expose_secret())
    }

    fn is(&self, given: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(given).into();
        digest.ct_eq(&self.digest).into()
    }

    /// Whether the request bears the key.
    pub(super) fn is_borne(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given
            .and_then(|text| text.split_once(' '))
            .is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && self.is(key.trim()))
    }

    /// Whether the request has a cookie of a session that still runs.
    pub(super) fn is_in_session(&self, headers: &HeaderMap, now_ms: i64) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|list| list.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .any(|token| self.is_session(token, now_ms))
    }

    fn is_session(&self, token: &str, now_ms: i64) -> bool {
        let Some((expiry, mac)) = token.split_once('.') else { return false };
        let Ok(mac) = hex::decode(mac) else { return false };
        let runs = expiry.parse::<i64>().is_ok_and(|expires_ms| expires_ms > now_ms);
        runs && self.mac.clone().chain_update(expiry).verify_slice(&mac).is_ok()
    }

    /// A `Set-Cookie` that lets a browser in.
    pub(super) fn cookie(&self, now_ms: i64, is_secure: bool) -> HeaderValue {
        let lasts_s = SESSION_DAYS * 24 * 60 * 60;
        let expiry = now_ms.saturating_add(lasts_s * 1000).to_string();
        let mac = hex::encode(self.mac.clone().chain_update(&expiry).finalize().into_bytes());
        let secure = if is_secure { "; Secure" } else { "" };
        let cookie =
            format!("{COOKIE}={expiry}.{mac}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}");
        let mut cookie = HeaderValue::try_from(cookie).unwrap_or_else(|_| no_cookie());
        cookie.set_sensitive(true);
        cookie
    }
}

/// A `Set-Cookie` that ends a browser's session.
pub(super) fn no_cookie() -> HeaderValue {
    HeaderValue::from_static("piton_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(&SecretString::from(text))
    }

    fn token(key: &Key, now_ms: i64) -> String {
        let cookie = key.cookie(now_ms, false);
        let text = cookie.to_str().expect("ASCII");
        text.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair").1.to_owned()
    }

    #[test]
    fn a_session_is_of_its_key_and_ends() {
        let (key, other) = (key("a long enough key"), key("another key"));
        let token = token(&key, 1_000);
        let end_ms = 1_000 + SESSION_DAYS * 24 * 60 * 60 * 1000;
        assert!(key.is_session(&token, end_ms - 1));
        assert!(!key.is_session(&token, end_ms));
        assert!(!other.is_session(&token, 1_000));
    }

    #[test]
    fn a_session_cannot_be_prolonged_by_hand() {
        let key = key("a long enough key");
        let token = token(&key, 1_000);
        let (expiry, mac) = token.split_once('.').expect("two parts");
        assert!(!key.is_session(&format!("{expiry}9.{mac}"), 1_000));
        assert!(!key.is_session(&format!("{expiry}.{}", &mac[..32]), 1_000));
        assert!(!key.is_session(&format!("{expiry}."), 1_000));
        assert!(!key.is_session(".", 1_000));
    }

    #[test]
    fn neither_the_cookie_nor_what_is_printed_holds_the_key() {
        let key = key("hunter2");
        let digest = hex::encode(Sha256::digest("hunter2"));
        let cookie = key.cookie(0, true);
        let text = cookie.to_str().expect("ASCII");
        assert!(!text.contains("hunter2") && !text.contains(&digest));
        assert!(text.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{text}");
        assert_eq!(format!("{key:?}"), "Key");
    }

    #[test]
    fn the_bearer_has_to_be_the_whole_key() {
        let key = key("hunter2");
        let borne = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).expect("a header"));
            key.is_borne(&headers)
        };
        assert!(borne("Bearer hunter2"));
        assert!(borne("bearer  hunter2"));
        for text in ["Bearer hunter", "Bearer hunter22", "Bearer", "Bearer ", "Basic hunter2", "hunter2", ""]
        {
            assert!(!borne(text), "{text}");
        }
    }
}
