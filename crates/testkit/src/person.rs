//! The person at the inbox: looks up what a machine cannot know, and says what is there.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::ledger::Ledger;

/// What was said so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// The call happened, with this result.
    pub happened: u32,
    /// The call did not happen.
    pub did_not_happen: u32,
    /// Nothing was said yet: nothing was booked, and whoever began the call is still there and may yet book it.
    pub waited: u32,
    /// Questions answered.
    pub answered: u32,
}

impl Said {
    /// Goes once through the inbox. Each unknown outcome is looked up in the ledger, and decided as it stands there,
    /// but only when nobody was acting any more *before* it was looked up: what is not there then will not come. Each
    /// question gets its own text as the answer, turned round by `answer`. Returns early when the server is gone.
    ///
    /// # Panics
    /// When the server refuses a decision in a way that it should not.
    pub async fn attend(&mut self, caller: &Caller, ledger: &Ledger, answer: impl Fn(&str) -> String) {
        let Some(inbox) = caller.try_get("/v1/inbox").await else { return };
        for item in inbox["items"].as_array().into_iter().flatten() {
            let question = &item["question"];
            let (body, counter) = match question["kind"].as_str() {
                Some("unknown_outcome") => {
                    let call = Booking::read(&question["call"]);
                    let booked = ledger.booked(&call.account, call.line).await;
                    if booked.is_empty() && question["still_acting"].is_string() {
                        self.waited += 1;
                        continue;
                    }
                    match booked.first() {
                        Some(entry) => (
                            json!({ "decision": "happened", "result": { "entry": entry.entry } }),
                            &mut self.happened,
                        ),
                        None => (json!({ "decision": "did_not_happen" }), &mut self.did_not_happen),
                    }
                }
                _ => {
                    let text = question["text"].as_str().expect("a question has a text");
                    (json!({ "answer": answer(text) }), &mut self.answered)
                }
            };
            let mut body = body;
            body["question"] = question["id"].clone();
            let id = item["run_id"].as_str().expect("an item names its run");
            let Some(reply) = caller.try_post(&format!("/v1/runs/{id}/answer"), &body).await else { return };
            match reply.status {
                200 => *counter += 1,
                // A request whose reply was lost said it already; or whoever began the call is there after all.
                409 | 503 => {}
                _ => panic!("saying {body} of run {id} gave {} {}", reply.status, reply.text),
            }
        }
    }
}

/// What a booking was to book, from the call as it is shown.
struct Booking {
    account: String,
    line: u64,
}

impl Booking {
    fn read(call: &Value) -> Self {
        let text = call["arguments"].as_str().expect("arguments are shown as the model's text");
        let arguments: Value = serde_json::from_str(text).expect("the arguments are JSON");
        Self {
            account: arguments["account"].as_str().expect("a booking names its account").to_owned(),
            line: arguments["line"].as_u64().expect("a booking names its line"),
        }
    }
}
