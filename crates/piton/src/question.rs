//! What commands say of an open question or an unknown outcome: everything a person needs to answer it, and how.

use crate::client::Question;

/// The question; of an unknown outcome what was called, with what, when, and by whom.
pub(crate) fn question_text(question: &Question) -> Vec<String> {
    if question.kind == "question" {
        return vec![format!("waits for a human: {}", question.text)];
    }
    let mut lines = vec!["It is not known whether this call took effect:".to_owned()];
    if let Some(call) = &question.call {
        lines.push(format!("  {} {}", call.name, call.arguments));
        lines.push(format!("  its key is {}", call.id));
    }
    let begun = question.started.as_ref().map(|started| {
        format!(
            "  begun {} by worker {}, in attempt {} under epoch {}",
            started.at, started.worker, started.attempt, started.epoch
        )
    });
    lines.extend(begun);
    lines.push(format!("  why: {}", question.text));
    if let Some(worker) = &question.still_acting {
        lines.push(format!(
            "  The process of worker {worker} is still there and may yet make the call. It can be called again once that \
             process has ended."
        ));
    }
    lines
}

/// The command that answers, for whoever reads this later.
pub(crate) fn how_to_answer(id: &str, question: &Question) -> String {
    let answer = format!("piton runs answer {id} --question {}", question.id);
    if question.kind == "question" {
        return format!("To answer: {answer} \"…\"");
    }
    let others = match &question.still_acting {
        None => "did-not-happen to call it again, or abort",
        Some(_) => "abort",
    };
    format!("To decide: {answer} --decision happened --result \"…\" (or {others})")
}
