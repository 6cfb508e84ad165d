//! How single values are written on the new wire.

use std::borrow::Cow;

use jiff::Timestamp;
use piton_core::{EffectClass, Status};
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// UTC milliseconds, written as RFC 3339 with `Z` and three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = Timestamp::from_millisecond(self.0).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{at:.3}"))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

/// [`Status`] by its one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct StatusName(pub(crate) Status);

impl PartialSchema for StatusName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Status::ALL.map(Status::as_str)))
            .description(Some("Where a run stands."))
            .into()
    }
}

impl ToSchema for StatusName {
    fn name() -> Cow<'static, str> {
        "Status".into()
    }
}

/// [`EffectClass`] by its one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct EffectName(pub(crate) EffectClass);

impl PartialSchema for EffectName {
    fn schema() -> RefOr<Schema> {
        let all = [EffectClass::Pure, EffectClass::Idempotent, EffectClass::AtMostOnce];
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(all.map(EffectClass::as_str)))
            .description(Some("What may be done with a call whose result is not known."))
            .into()
    }
}

impl ToSchema for EffectName {
    fn name() -> Cow<'static, str> {
        "EffectClass".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc_with_milliseconds() {
        let shown = |ms| serde_json::to_string(&Time(ms)).expect("a time");
        assert_eq!(shown(0), r#""1970-01-01T00:00:00.000Z""#);
        assert_eq!(shown(1_753_000_000_120), r#""2025-07-20T08:26:40.120Z""#);
    }
}
