//! `POST` and `DELETE /v1/session`: how a browser gets in and out. The cookie is derived from the key, never the key.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::problem::{Problem, ProblemBody, Problems};
use crate::request::JsonBody;

/// Strangers send this body, so it is kept small.
const LOGIN_BYTES_MAX: usize = 4096;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[schema(value_type = String)]
    api_key: SecretString,
}

/// Log a browser in
///
/// Sets a cookie that does instead of the key, for 30 days. Scripts send `Authorization: Bearer KEY` instead.
#[utoipa::path(
    post,
    path = "/v1/session",
    tag = "session",
    operation_id = "log_in",
    request_body = Login,
    security(()),
    responses(
        (status = 204, description = "In", headers(("Set-Cookie" = String, description = "The session"))),
        (status = 401, description = "Not the key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many at once", body = ProblemBody,
            content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn log_in(
    State(api): Shared,
    headers: HeaderMap,
    JsonBody(login): JsonBody<Login, LOGIN_BYTES_MAX>,
) -> Result<Response, Problem> {
    let cookie = api.access.log_in(&login.api_key, &headers, api.clock.now_ms()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Log a browser out
#[utoipa::path(
    delete,
    path = "/v1/session",
    tag = "session",
    operation_id = "log_out",
    security(()),
    responses(
        (status = 204, description = "Out", headers(("Set-Cookie" = String, description = "No session"))),
        Problems,
    )
)]
pub(crate) async fn log_out(State(api): Shared) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::SET_COOKIE, api.access.log_out());
    response
}
