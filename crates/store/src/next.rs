//! The migrations of a version that is yet to come, so that an upgrade is rehearsed before there is one. Only the tests' own binary
//! has any.

use std::sync::OnceLock;

static NEXT: OnceLock<Next> = OnceLock::new();

/// What comes after the migrations of this version, on either engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Next {
    pub postgres: &'static [&'static str],
    pub sqlite: &'static [&'static str],
}

/// Takes this process for one of a version that has these migrations too. To be called before any store is opened, once.
pub fn rehearse(next: Next) {
    NEXT.get_or_init(|| next);
}

pub(crate) fn on_postgres() -> &'static [&'static str] {
    NEXT.get().map_or(&[], |next| next.postgres)
}

pub(crate) fn on_sqlite() -> &'static [&'static str] {
    NEXT.get().map_or(&[], |next| next.sqlite)
}
