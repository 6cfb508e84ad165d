//! Who may call: keys, cookies, origins and host names.

use piton_testkit::{Reply, World};
use reqwest::Method;
use serde_json::json;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const KEY: &str = "correct-horse-battery-staple";

/// A request of somebody whom the world has given nothing.
async fn stranger(world: &World, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = world.http().request(method, world.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request).await
}

const GUARDED: [(Method, &str); 8] = [
    (Method::GET, "/v1/runs"),
    (Method::POST, "/v1/runs"),
    (Method::GET, "/v1/inbox"),
    (Method::GET, "/v1/agents"),
    (Method::GET, "/v1/workers"),
    (Method::GET, "/v1/system"),
    (Method::POST, "/agent/launch"),
    (Method::GET, "/agent/state/0197f2c4-8a3b-7cc0-9d1e-5f0a1b2c3d4e"),
];

#[tokio::test]
async fn with_a_key_set_nobody_gets_in_without_it() {
    let world = World::new(PITON).api_key(KEY).serve().await;
    let wrong =
        ["", "Bearer", "Bearer wrong", "Bearer correct-horse-battery-stapl", "Basic Y29ycmVjdA==", KEY];
    for (method, path) in GUARDED {
        let without = stranger(&world, method.clone(), path, &[]).await;
        assert_eq!(without.status, 401, "{method} {path}: {}", without.text);
        for value in wrong {
            let reply = stranger(&world, method.clone(), path, &[("authorization", value)]).await;
            assert_eq!(reply.status, 401, "{method} {path} with {value:?}: {}", reply.text);
        }
    }
    assert_eq!(world.get("/v1/runs").await.status, 200, "the key opens");
    let run = world.post("/v1/runs", &json!({ "task": "what is 2+3?" })).await;
    assert_eq!(run.status, 201, "{}", run.text);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(stranger(&world, Method::GET, path, &[]).await.status, 200, "{path} is for probes");
    }
    assert!(!world.logs().contains(KEY), "the key is in the log");
}

#[tokio::test]
async fn a_browser_gets_in_by_the_login_and_out_again() {
    let world = World::new(PITON).api_key(KEY).serve().await;
    let login = async |key: &str| -> Reply {
        world.send(world.http().post(world.url("/v1/session")).json(&json!({ "api_key": key }))).await
    };
    let refused = login("wrong").await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    assert_eq!(refused.header("set-cookie"), None);

    let granted = login(KEY).await;
    assert_eq!(granted.status, 204, "{}", granted.text);
    let cookie = granted.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(KEY), "the cookie is not the key itself");
    let cookie = cookie.split(';').next().expect("the cookie's name and value");

    let with_cookie = stranger(&world, Method::GET, "/v1/runs", &[("cookie", cookie)]).await;
    assert_eq!(with_cookie.status, 200, "{}", with_cookie.text);
    let forged = format!("{}x", cookie);
    assert_eq!(stranger(&world, Method::GET, "/v1/runs", &[("cookie", &forged)]).await.status, 401);
    let evil = [("cookie", cookie), ("origin", "http://evil.example")];
    let cross = stranger(&world, Method::POST, "/v1/runs", &evil).await;
    assert_eq!(cross.status, 403, "another origin's page drives nothing: {}", cross.text);

    let out = stranger(&world, Method::DELETE, "/v1/session", &[("cookie", cookie)]).await;
    assert_eq!(out.status, 204, "{}", out.text);
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{:?}", out.headers);
}

#[tokio::test]
async fn pages_of_other_origins_and_rebound_names_are_refused() {
    let world = World::new(PITON).serve().await;
    let port = world.port();
    let others = [
        "http://evil.example".to_owned(),
        "null".to_owned(),
        format!("http://127.0.0.1.evil.example:{port}"),
        "http://127.0.0.1:1".to_owned(),
    ];
    for path in ["/v1/runs", "/agent/launch"] {
        let body = match path {
            "/v1/runs" => json!({ "task": "what is 1+1?" }),
            _ => json!({ "input_prompt": "what is 1+1?" }),
        };
        let post = async |host: &str, origin: &str| -> Reply {
            let request = world.http().post(world.url(path)).header("host", host).header("origin", origin);
            world.send(request.json(&body)).await
        };
        for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
            let own = post(&host, &format!("http://{host}")).await;
            assert!(own.status < 300, "{path} from our own page at {host}: {}", own.text);
            for origin in &others {
                let reply = post(&host, origin).await;
                assert_eq!(reply.status, 403, "{path} from {origin}: {}", reply.text);
                assert_eq!(reply.header("access-control-allow-origin"), None);
            }
        }
    }
    for host in
        ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")]
    {
        for path in ["/v1/runs", "/agent/state/x", "/"] {
            let reply = stranger(&world, Method::GET, path, &[("host", &host)]).await;
            assert!(matches!(reply.status, 400 | 403 | 421), "{path} as {host}: {}", reply.status);
        }
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let reply = stranger(&world, Method::GET, "/v1/runs", &[("host", &host)]).await;
        assert_eq!(reply.status, 200, "as {host}: {}", reply.text);
    }
}

#[tokio::test]
async fn an_allowed_origin_is_served_and_told_so() {
    let origin = "http://ui.example:5173";
    let world = World::new(PITON).env("PITON_SERVER__ALLOWED_ORIGINS", origin).serve().await;
    let reply = stranger(&world, Method::GET, "/v1/runs", &[("origin", origin)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin));

    let asked =
        [("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    let preflight = |origin| [("origin", origin), asked[0], asked[1]];
    let allowed = stranger(&world, Method::OPTIONS, "/v1/runs", &preflight(origin)).await;
    assert!((200..300).contains(&allowed.status), "{} {}", allowed.status, allowed.text);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
    let refused = stranger(&world, Method::OPTIONS, "/v1/runs", &preflight("http://evil.example")).await;
    assert_eq!(refused.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn other_machines_need_a_key_or_a_plain_word() {
    let open = World::new(PITON);
    let listen = format!("0.0.0.0:{}", open.port());
    let refused = open.cli(&["serve", "--listen", &listen]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(said.contains("PITON_SERVER__API_KEY") && said.contains("--allow-anonymous"), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    let with_key = World::new(PITON).api_key(KEY);
    let listen = format!("0.0.0.0:{}", with_key.port());
    let with_key = with_key.argument("--listen").argument(&listen).serve().await;
    assert_eq!(with_key.get("/v1/runs").await.status, 200);

    let anonymous = World::new(PITON);
    let listen = format!("0.0.0.0:{}", anonymous.port());
    let anonymous =
        anonymous.argument("--listen").argument(&listen).argument("--allow-anonymous").serve().await;
    assert_eq!(anonymous.get("/v1/runs").await.status, 200);
}
