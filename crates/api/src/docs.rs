//! `GET /openapi.json`: the document generated from the code. `GET /docs`: a page to browse it, served offline.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::Api;
use crate::problem::ProblemBody;
use crate::{health, original, v1};

/// The page sets styles from its script; everything else is as strict as elsewhere.
const DOCS_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                        img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Piton",
        description = "Runs LLM agents the way a database runs transactions. Errors are `application/problem+json` \
                       with a stable `type`. Where an API key is set, send it as a bearer or log in for a cookie.",
        license(name = "Apache-2.0"),
    ),
    tags(
        (name = "runs", description = "Launch runs, follow them, answer their questions"),
        (name = "agents", description = "What may be launched"),
        (name = "system", description = "Workers, the queue, the server"),
        (name = "session", description = "How a browser gets in"),
        (name = "health", description = "For probes"),
        (name = "original", description = "The wire of the server that Piton replaces; new clients use /v1"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Security),
    security(("bearer" = []), ("session" = []), ()),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The API key, where the server has one"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let cookie = ApiKeyValue::with_description("piton_session", "Set by POST /v1/session");
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// Every documented endpoint, and the document.
pub(crate) fn documented() -> (Router<Arc<Api>>, OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(original::routes())
        .merge(v1::routes())
        .merge(health::routes())
        .split_for_parts()
}

/// The OpenAPI document of this version.
pub fn openapi() -> OpenApi {
    documented().1
}

/// The document itself and the page.
pub(crate) fn pages(document: OpenApi) -> Router<Arc<Api>> {
    // Without this the page would send the document's address to a validator elsewhere.
    let config = Config::default().validator_url("none").try_it_out_enabled(true);
    Router::from(SwaggerUi::new("/docs").url("/openapi.json", document).config(config))
        .layer(map_response(own_policy))
}

async fn own_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOCS_CSP));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::world::World;

    #[tokio::test]
    async fn the_page_and_what_it_loads_come_from_here() {
        let world = World::new().await;
        assert_eq!(world.get("/docs").await.header("location"), Some("/docs/"));
        let page = world.get("/docs/").await;
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("script-src 'self';") && policy.contains("default-src 'none'"), "{policy}");
        assert!(!page.text().contains("//"), "nothing from elsewhere: {}", page.text().replace("<!--", ""));
        for file in page.text().split(['\"']).filter(|part| part.starts_with("./") || *part == "index.css") {
            let file = world.get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
            assert_eq!(file.status, 200);
        }
        let start = world.get("/docs/swagger-initializer.js").await.text();
        assert!(start.contains("/openapi.json") && !start.contains("petstore"), "{start}");
        assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
        let served = world.get("/openapi.json").await.expect(200);
        assert_eq!(served, serde_json::to_value(openapi()).expect("JSON"));
    }

    #[test]
    fn the_committed_document_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let mut current = openapi().to_pretty_json().expect("JSON");
        current.push('\n');
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&path, &current).expect("a file that can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == current,
            "crates/api/openapi.json is stale: run UPDATE_OPENAPI=1 cargo test -p piton-api the_committed_document"
        );
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        let document = serde_json::to_value(openapi()).expect("JSON");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().expect("an end");
            assert!(document.pointer(pointer).is_some(), "{pointer} is missing");
        }
        let ids: Vec<&str> =
            text.split("\"operationId\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unique: std::collections::HashSet<&&str> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{ids:?}");
    }
}
