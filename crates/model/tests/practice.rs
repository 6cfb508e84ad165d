//! The practice model through the very client that real models are asked with, over both APIs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use piton_core::{EffectClass, Item, RequestedCall, ToolKind, ToolSpec};
use piton_model::{Api, Ask, ModelClient, ModelConfig, practice};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Served {
    base_url: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(practice::serve(listener, async move {
            let _ = stopped.await;
        }));
        Self { base_url, stop, server }
    }

    fn client(&self, api: Api) -> ModelClient {
        ModelClient::new(ModelConfig {
            api,
            base_url: self.base_url.clone(),
            api_key: None,
            timeout_ms: 10_000,
            tries_max: 1,
            reasoning_effort: None,
            max_output_tokens: None,
        })
        .unwrap()
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let url = format!("{}{path}", self.base_url);
        let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }
}

fn tools(names: &[&str]) -> Vec<ToolSpec> {
    let spec = |name: &&str| ToolSpec {
        name: (*name).to_owned(),
        description: String::new(),
        parameters: json!({"type": "object", "properties": {}, "additionalProperties": false}),
        effect: EffectClass::Pure,
        kind: ToolKind::Builtin,
    };
    names.iter().map(spec).collect()
}

fn math(call: &RequestedCall) -> Value {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
    let [a, b] = ["a", "b"].map(|name| arguments[name].as_f64().unwrap());
    json!(match call.name.as_str() {
        "sum_numbers" => a + b,
        "multiply_numbers" => a * b,
        other => panic!("{other} was not needed"),
    })
}

#[tokio::test]
async fn a_task_is_worked_out_over_several_turns_on_either_api() {
    let served = Served::new().await;
    let tools = tools(&["sum_numbers", "multiply_numbers", "ask_human", "final_answer"]);
    for (api, name) in [(Api::Auto, "responses"), (Api::Chat, "chat")] {
        let client = served.client(api);
        let mut items = vec![Item::user("what is (17 + my age) * (3 + 1)?")];
        let mut turns = 0;
        let answer = loop {
            turns += 1;
            let ask = Ask { model: "gpt-5", instructions: "Be brief.", items: &items, tools: &tools };
            let replied = client.reply(&ask).await.unwrap();
            assert_eq!((replied.reply.model.as_str(), replied.request.api.as_str()), (practice::NAME, name));
            assert!(replied.reply.usage.input_tokens > 0 && replied.reply.usage.output_tokens > 0);
            assert_eq!(replied.reply.notes, []);
            if let [last] = replied.reply.calls.as_slice()
                && last.name == "final_answer"
            {
                break last.arguments.clone();
            }
            for call in replied.reply.calls {
                let output = match call.name.as_str() {
                    "ask_human" => json!({"answer": "I'm 5"}),
                    _ => json!({"result": math(&call)}),
                };
                let call_id = call.call_id;
                items.push(Item::Call {
                    r#type: "function_call".to_owned(),
                    name: call.name,
                    arguments: call.arguments,
                    call_id: call_id.clone(),
                });
                items.push(Item::Output {
                    r#type: "function_call_output".to_owned(),
                    call_id,
                    output: output.to_string(),
                });
            }
        };
        assert_eq!(answer, r#"{"answer":"88 = (17 + 5) × (3 + 1) (practice model)"}"#);
        assert_eq!(turns, 4);
        let ids: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Call { call_id, .. } => Some(call_id),
                _ => None,
            })
            .collect();
        assert_eq!(
            ids.iter().collect::<std::collections::HashSet<_>>().len(),
            ids.len(),
            "call ids are unique"
        );
    }
}

#[tokio::test]
async fn replies_have_the_shapes_of_openai() {
    let served = Served::new().await;
    let tools = json!([{"type": "function", "name": "sum_numbers", "parameters": {}}]);
    let (status, body) =
        served.post("/responses", json!({"input": "2 + 3", "tools": tools}).to_string()).await;
    let typed: async_openai::types::responses::Response = serde_json::from_value(body).unwrap();
    assert_eq!((status, typed.model.as_str(), typed.output.len()), (200, practice::NAME, 1));

    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "hello"}]}]);
    let (status, body) = served.post("/chat/completions", json!({"messages": messages}).to_string()).await;
    let typed: async_openai::types::chat::CreateChatCompletionResponse =
        serde_json::from_value(body).unwrap();
    assert_eq!(status, 200);
    assert!(typed.choices[0].message.content.as_ref().unwrap().ends_with("(practice model)"));

    let url = format!("{}/models", served.base_url);
    let models: Value =
        serde_json::from_slice(&reqwest::get(url).await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(models["data"][0]["id"], practice::NAME);
}

#[tokio::test]
async fn a_bad_request_gets_a_clear_error() {
    let served = Served::new().await;
    for (path, body, status) in [
        ("/responses", "{".to_owned(), 400),
        ("/responses", "[]".to_owned(), 400),
        ("/responses", "{}".to_owned(), 400),
        ("/responses", json!({"input": []}).to_string(), 400),
        ("/responses", json!({"input": "2+2", "tools": "all"}).to_string(), 400),
        ("/responses", json!({"input": "2+2", "stream": true}).to_string(), 400),
        ("/chat/completions", json!({"messages": [{"role": "system", "content": "hi"}]}).to_string(), 400),
        ("/embeddings", "{}".to_owned(), 404),
        ("/models", "{}".to_owned(), 405),
    ] {
        let (found, answer) = served.post(path, body.clone()).await;
        assert_eq!(found, status, "{path} {body}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{answer}");
    }
    let odd = json!({"input": [3, null, {"role": 7}, {"type": "function_call"}, {"role": "user", "content": "1+1\u{0}"}],
                     "tools": [{"type": "web_search"}, {"name": "sum_numbers"}], "reasoning": "what?"});
    assert_eq!(served.post("/responses", odd.to_string()).await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let served = Served::new().await;
    let url = format!("{}/responses", served.base_url);
    let answer = reqwest::Client::new().post(url).body("x".repeat(9 << 20)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
}

#[tokio::test]
async fn it_stops_when_told_to() {
    let served = Served::new().await;
    let (status, _) = served.post("/responses", json!({"input": "2 + 2"}).to_string()).await;
    assert_eq!(status, 200);
    served.stop.send(()).unwrap();
    served.server.await.unwrap().unwrap();
}
