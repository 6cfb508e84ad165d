//! The one way to a tool: every call is checked, bounded and caught here, whatever kind of tool it is.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use piton_core::{CallId, EffectClass, HttpTool, ToolKind, ToolSpec};

use crate::arguments::Validators;
use crate::http::{HTTP_TIMEOUT_MS, HttpCalls};
use crate::output::{self, Output};
use crate::{Ended, Tool, ToolError, ToolInput, control, math, now, testing};

/// What beyond the usual a registry holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistryOptions {
    /// `abort`, `panic` and `sleep`, which do harm on purpose.
    pub test_tools: bool,
}

/// The tools of this binary, and the means to call those that an agent's file declares.
pub struct Registry {
    /// In the order that [`Registry::specs`] lists them. `None` where the reducer carries the call out.
    tools: Vec<(ToolSpec, Option<Arc<dyn Tool>>)>,
    validators: Validators,
    http: HttpCalls,
}

impl Registry {
    pub fn new(options: RegistryOptions) -> Self {
        let mut registry =
            Self { tools: Vec::new(), validators: Validators::default(), http: HttpCalls::default() };
        for tool in math::tools() {
            registry.add(tool);
        }
        registry.tools.push((control::ask_human(), None));
        registry.tools.push((control::final_answer(), None));
        registry.add(Arc::new(now::Now));
        if options.test_tools {
            for tool in testing::tools() {
                registry.add(tool);
            }
        }
        registry
    }

    /// Adds a tool, in the place of the one that had its name if there was one.
    pub fn add(&mut self, tool: Arc<dyn Tool>) {
        let spec = tool.spec();
        match self.tools.iter_mut().find(|(known, _)| known.name == spec.name) {
            Some(place) => *place = (spec, Some(tool)),
            None => self.tools.push((spec, Some(tool))),
        }
    }

    /// Whether calls of `spec`, the definition that a run is pinned to, can be carried out: what an agent's file declares
    /// and what the run does by itself always can.
    pub fn has(&self, spec: &ToolSpec) -> bool {
        match spec.kind {
            ToolKind::Builtin => self.entry(&spec.name).is_some_and(|(_, tool)| tool.is_some()),
            ToolKind::Http(_) | ToolKind::AskHuman | ToolKind::FinalAnswer => true,
        }
    }

    /// The tool of this name, if this registry has it.
    pub fn spec(&self, name: &str) -> Option<ToolSpec> {
        self.entry(name).map(|(spec, _)| spec.clone())
    }

    /// All tools, always in the same order.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|(spec, _)| spec.clone()).collect()
    }

    /// Carries out one call of `spec`, the definition that the run is pinned to: checks `raw_arguments` against its
    /// schema, then calls the tool once, within its time limit. The result's JSON is at most
    /// [`OUTPUT_BYTES_MAX`](piton_core::OUTPUT_BYTES_MAX) long; what it lacks then is kept beside it. Dropping the
    /// future drops the call.
    ///
    /// The result is [`ToolError::Failed`] when it is known that the call failed, [`ToolError::Unknown`] when it began
    /// and its outcome is not known. A panic counts as failed, unless the tool is `at_most_once`: nobody knows how far
    /// it had got.
    pub async fn call(&self, spec: &ToolSpec, raw_arguments: &str, key: CallId) -> Ended {
        output::bounded(match self.begin(spec, raw_arguments, key) {
            Ok((call, limit)) => guarded(spec, call, limit).await,
            Err(error) => Err(error),
        })
    }

    fn begin<'a>(
        &'a self,
        spec: &'a ToolSpec,
        raw_arguments: &str,
        key: CallId,
    ) -> Result<(BoxFuture<'a, Result<Output, ToolError>>, Duration), ToolError> {
        // A missing tool is named before its arguments are judged.
        let tool = match &spec.kind {
            ToolKind::Http(http) => Callable::Http(http),
            ToolKind::Builtin => {
                let found = self.entry(&spec.name).and_then(|(_, tool)| tool.as_deref());
                Callable::Builtin(
                    found.ok_or_else(|| ToolError::Failed(format!("Tool {} not found", spec.name)))?,
                )
            }
            ToolKind::AskHuman | ToolKind::FinalAnswer => {
                return Err(ToolError::Failed(format!("{} is carried out by the run itself", spec.name)));
            }
        };
        let arguments = self.validators.check(spec, raw_arguments).map_err(ToolError::Failed)?;
        let input = ToolInput { arguments, key, spec };
        Ok(match tool {
            Callable::Builtin(tool) => (tool.call(input).map_ok(Output::Value).boxed(), tool.limit()),
            Callable::Http(http) => {
                // The call keeps its own limit and knows best what passing it means; this one is the net under it.
                let limit_ms = http.timeout_ms.clamp(*HTTP_TIMEOUT_MS.start(), *HTTP_TIMEOUT_MS.end());
                (self.http.call(http, input).boxed(), Duration::from_millis(limit_ms + 1_000))
            }
        })
    }

    fn entry(&self, name: &str) -> Option<&(ToolSpec, Option<Arc<dyn Tool>>)> {
        self.tools.iter().find(|(spec, _)| spec.name == name)
    }
}

enum Callable<'a> {
    Builtin(&'a dyn Tool),
    Http(&'a HttpTool),
}

async fn guarded(
    spec: &ToolSpec,
    call: BoxFuture<'_, Result<Output, ToolError>>,
    limit: Duration,
) -> Result<Output, ToolError> {
    let caught = AssertUnwindSafe(call).catch_unwind().unwrap_or_else(|panic| {
        let why = panic_text(panic.as_ref());
        tracing::error!(tool = spec.name, why, "a tool panicked");
        let text = format!("{} stopped at a fault of its own: {why}", spec.name);
        Err(match spec.effect {
            EffectClass::AtMostOnce => ToolError::Unknown(text),
            EffectClass::Pure | EffectClass::Idempotent => ToolError::Failed(text),
        })
    });
    match tokio::time::timeout(limit, caught).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ToolError::Unknown(format!(
            "{} gave no result within its limit of {} ms",
            spec.name,
            limit.as_millis()
        ))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tools.iter().map(|(spec, _)| &spec.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use piton_core::{HttpMethod, OUTPUT_BYTES_MAX, RunId};
    use serde_json::{Value, json};

    use super::*;

    fn key() -> CallId {
        CallId::derive(RunId::from_uuid(uuid::Uuid::nil()), 1, 0)
    }

    fn registry() -> Registry {
        Registry::new(RegistryOptions { test_tools: true })
    }

    fn names(registry: &Registry) -> Vec<String> {
        registry.specs().into_iter().map(|spec| spec.name).collect()
    }

    #[test]
    fn the_tools_come_in_one_order_and_the_test_tools_only_when_asked_for() {
        let usual = [
            "sum_numbers",
            "subtract_numbers",
            "multiply_numbers",
            "divide_numbers",
            "power",
            "square_root",
            "ask_human",
            "final_answer",
            "now",
        ];
        assert_eq!(names(&Registry::new(RegistryOptions::default())), usual);
        assert_eq!(
            names(&registry()),
            [&usual[..], &["abort", "panic", "sleep", "block", "exhaust"]].concat()
        );
        assert_eq!(Registry::new(RegistryOptions::default()).spec("abort"), None);
    }

    #[test]
    fn every_schema_is_one_that_function_calling_takes() {
        let usual = Registry::new(RegistryOptions::default());
        for spec in registry().specs() {
            let schema = spec.parameters.as_object().expect("an object");
            let keys: Vec<&String> = schema.keys().collect();
            assert_eq!(keys.len(), 4, "{}: {keys:?}", spec.name);
            assert_eq!(schema["type"], "object");
            assert_eq!(schema["additionalProperties"], false);
            let properties = schema["properties"].as_object().expect("properties");
            let required: Vec<&str> =
                schema["required"].as_array().expect("required").iter().filter_map(Value::as_str).collect();
            // Who calls a test tool is a script, and may leave out what has a default.
            if usual.spec(&spec.name).is_some() {
                assert_eq!(
                    properties.keys().collect::<Vec<_>>(),
                    required,
                    "strict schemas require every argument"
                );
            }
            assert!(
                properties.values().all(|property| property.get("description").is_some()),
                "{}",
                spec.name
            );
            assert_eq!(crate::parameters(spec.parameters.clone()), Ok(spec.parameters.clone()));
            assert!(!spec.description.is_empty());
        }
    }

    #[tokio::test]
    async fn a_tool_that_is_not_here_is_named() {
        let mut spec = registry().spec("abort").expect("abort");
        let usual = Registry::new(RegistryOptions::default());
        assert_eq!(
            usual.call(&spec, "{\"bad", key()).await.result,
            Err(ToolError::Failed("Tool abort not found".to_owned()))
        );
        spec.kind = ToolKind::FinalAnswer;
        assert!(matches!(usual.call(&spec, "{}", key()).await.result, Err(ToolError::Failed(_))));
    }

    #[tokio::test]
    async fn arguments_are_checked_against_the_spec_of_the_run_before_anything_runs() {
        let registry = registry();
        // Were the arguments not checked first, this would panic.
        let spec = registry.spec("panic").expect("panic");
        assert_eq!(
            registry.call(&spec, r#"{"when": 1}"#, key()).await.result,
            Err(ToolError::Failed("when: no such argument (panic takes none)".to_owned()))
        );
        let mut pinned = registry.spec("sum_numbers").expect("sum_numbers");
        pinned.parameters = json!({"type": "object", "properties": {"a": {"type": "number", "maximum": 1}}});
        assert_eq!(
            registry.call(&pinned, r#"{"a": 2, "b": 2}"#, key()).await.result,
            Err(ToolError::Failed("a: expected 1 or less, got 2".to_owned()))
        );
    }

    #[tokio::test]
    async fn sleep_is_bounded() {
        let registry = registry();
        let spec = registry.spec("sleep").expect("sleep");
        assert_eq!(registry.call(&spec, r#"{"ms": 1}"#, key()).await.result, Ok(json!({"slept_ms": 1})));
        assert!(matches!(
            registry.call(&spec, r#"{"ms": 600001}"#, key()).await.result,
            Err(ToolError::Failed(_))
        ));
        assert!(matches!(
            registry.call(&spec, r#"{"ms": -1}"#, key()).await.result,
            Err(ToolError::Failed(_))
        ));
    }

    struct Odd(EffectClass);

    #[async_trait]
    impl Tool for Odd {
        fn spec(&self) -> ToolSpec {
            ToolSpec {
                name: "odd".to_owned(),
                description: String::new(),
                parameters: json!({"type": "object"}),
                effect: self.0,
                kind: ToolKind::Builtin,
            }
        }

        fn limit(&self) -> Duration {
            Duration::from_millis(50)
        }

        async fn call(&self, input: ToolInput<'_>) -> Result<Value, ToolError> {
            assert_eq!(input.key, key());
            match input.arguments["do"].as_str() {
                Some("hang") => std::future::pending().await,
                Some("fill") => Ok(json!(["x".repeat(1 << 20)])),
                Some("refuse") => Err(ToolError::Failed("x".repeat(1 << 20))),
                _ => panic!("at {}", "once"),
            }
        }
    }

    async fn odd(effect: EffectClass, arguments: &str) -> Result<Value, ToolError> {
        let mut registry = registry();
        registry.add(Arc::new(Odd(effect)));
        let spec = registry.spec("odd").expect("odd");
        registry.call(&spec, arguments, key()).await.result
    }

    #[tokio::test]
    async fn a_panic_stays_inside_its_call() {
        let text = "odd stopped at a fault of its own: at once".to_owned();
        assert_eq!(odd(EffectClass::Pure, "{}").await, Err(ToolError::Failed(text.clone())));
        assert_eq!(odd(EffectClass::Idempotent, "{}").await, Err(ToolError::Failed(text.clone())));
        assert_eq!(odd(EffectClass::AtMostOnce, "{}").await, Err(ToolError::Unknown(text)));
        let registry = registry();
        let spec = registry.spec("panic").expect("panic");
        assert!(matches!(registry.call(&spec, "{}", key()).await.result, Err(ToolError::Failed(_))));
    }

    #[tokio::test]
    async fn a_call_past_its_limit_is_unknown() {
        assert_eq!(
            odd(EffectClass::Pure, r#"{"do": "hang"}"#).await,
            Err(ToolError::Unknown("odd gave no result within its limit of 50 ms".to_owned()))
        );
    }

    #[tokio::test]
    async fn results_and_errors_are_bounded() {
        let result = odd(EffectClass::Pure, r#"{"do": "fill"}"#).await.expect("a result");
        assert!(result.to_string().len() <= OUTPUT_BYTES_MAX);
        assert!(result.as_str().is_some_and(|text| text.contains("[cut: ")));
        let Err(ToolError::Failed(error)) = odd(EffectClass::Pure, r#"{"do": "refuse"}"#).await else {
            panic!("it did not refuse");
        };
        assert!(error.len() < 10_000);
    }

    #[tokio::test]
    async fn a_tool_may_take_the_place_of_another() {
        let mut registry = registry();
        let count = registry.specs().len();
        registry.add(Arc::new(Odd(EffectClass::Pure)));
        registry.add(Arc::new(Odd(EffectClass::Idempotent)));
        assert_eq!(registry.specs().len(), count + 1);
        assert_eq!(registry.spec("odd").map(|spec| spec.effect), Some(EffectClass::Idempotent));
    }

    #[tokio::test]
    async fn a_declared_http_tool_is_called_by_its_spec() {
        let server = wiremock::MockServer::start().await;
        wiremock::Mock::given(wiremock::matchers::body_json(json!({"amount": 5})))
            .respond_with(wiremock::ResponseTemplate::new(201).set_body_json(json!({"id": 1})))
            .expect(1)
            .mount(&server)
            .await;
        let spec = ToolSpec {
            name: "book".to_owned(),
            description: String::new(),
            parameters: json!({"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}),
            effect: EffectClass::AtMostOnce,
            kind: ToolKind::Http(HttpTool {
                method: HttpMethod::Post,
                url: server.uri(),
                timeout_ms: 5_000,
                allow_private: true,
                headers: BTreeMap::new(),
            }),
        };
        let registry = registry();
        assert_eq!(registry.call(&spec, r#"{"amount": 5}"#, key()).await.result, Ok(json!({"id": 1})));
        assert_eq!(
            registry.call(&spec, "{}", key()).await.result,
            Err(ToolError::Failed("amount: is missing".to_owned()))
        );
    }

    /// Ends its own process, so it runs itself again in one of its own.
    #[tokio::test]
    async fn abort_ends_the_process() {
        const CHILD: &str = "PITON_TEST_ABORT_CHILD";
        if std::env::var_os(CHILD).is_some() {
            let registry = registry();
            let spec = registry.spec("abort").expect("abort");
            let _ = registry.call(&spec, "{}", key()).await.result;
            return;
        }
        let child = tokio::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "registry::tests::abort_ends_the_process"])
            .env(CHILD, "1")
            .output()
            .await
            .expect("a child");
        assert_eq!(child.status.code(), None, "it ended by a signal");
    }
}
