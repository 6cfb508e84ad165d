//! Plain-language tasks with the practice model: right, or an honest refusal; never a wrong answer.

use piton_testkit::World;
use serde_json::Value;

const PITON: &str = env!("CARGO_BIN_EXE_piton");

/// What a task is to end with.
#[derive(Debug, Clone, Copy)]
enum End {
    /// These numbers are in the answer.
    Numbers(&'static [f64]),
    /// It says that it cannot.
    Refusal,
}
use End::{Numbers, Refusal};

const PLAIN: [(&str, End); 20] = [
    ("what is (17+5)*3 / 4?", Numbers(&[16.5])),
    ("What is 2+3?", Numbers(&[5.0])),
    ("Add 12.5 and 7.5.", Numbers(&[20.0])),
    ("Multiply 12 by 11.", Numbers(&[132.0])),
    ("What is 7 minus 10?", Numbers(&[-3.0])),
    ("What is 144 divided by 12?", Numbers(&[12.0])),
    ("What is 2 to the power of 10?", Numbers(&[1024.0])),
    ("What is the square root of 169?", Numbers(&[13.0])),
    ("Compute 2^3 + 4^2 - 1.", Numbers(&[23.0])),
    ("What is 15% of 240?", Numbers(&[36.0])),
    ("What is the average of 4, 8 and 15?", Numbers(&[9.0])),
    ("I had 12 apples, gave 5 away and bought 8 more. How many apples do I have?", Numbers(&[15.0])),
    ("A box holds 6 eggs. How many eggs are in 7 boxes?", Numbers(&[42.0])),
    ("Tom has 20 euros. He buys 3 books at 4 euros each. How much money is left?", Numbers(&[8.0])),
    ("Solve 2x + 3 = 11.", Numbers(&[4.0])),
    ("Solve x^2 - 5x + 6 = 0.", Numbers(&[2.0, 3.0])),
    ("Solve x^2 + 1 = 0.", Refusal),
    ("What is 1 divided by 0?", Refusal),
    ("Write a poem about the sea.", Refusal),
    ("Who won the football game yesterday?", Refusal),
];

/// Tasks that lack a number, what the human says, and the end.
const ASKING: [(&str, &str, f64); 10] = [
    ("Add 5 to my number.", "7", 12.0),
    ("Multiply my number by 12.", "30", 360.0),
    ("Subtract my number from 50.", "8", 42.0),
    ("Divide 100 by my number.", "it is 8", 12.5),
    ("What is the square root of my number?", "144", 12.0),
    ("What is 15% of my salary?", "2000", 300.0),
    ("What is my age times 3?", "I am 14", 42.0),
    ("Raise my number to the power of 3.", "4", 64.0),
    ("What is the sum of 10 and my favourite number?", "32", 42.0),
    ("Double my number.", "21", 42.0),
];

fn numbers(text: &str) -> Vec<f64> {
    let text = text.replace('−', "-");
    let pieces = text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-')));
    pieces.filter_map(|piece| piece.trim_end_matches(['.', '-']).parse().ok()).collect()
}

fn is_refusal(answer: &str) -> bool {
    let answer = answer.to_lowercase().replace('’', "'");
    let words = [
        "cannot",
        "can't",
        "can not",
        "unable",
        "no real",
        "not defined",
        "undefined",
        "division by zero",
        "i know nothing",
    ];
    words.iter().any(|word| answer.contains(word))
}

fn ends_so(answer: &str, end: End) -> bool {
    match end {
        Refusal => is_refusal(answer),
        Numbers(expected) => {
            let found = numbers(answer);
            expected.iter().all(|number| found.iter().any(|other| (number - other).abs() < 1e-6))
        }
    }
}

fn final_answer(run: &Value) -> &str {
    run["final_answer"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn twenty_tasks_are_answered_right_or_honestly_refused() {
    let world = World::new(PITON).serve().await;
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    for (task, end) in PLAIN {
        let id = world.launch(task).await;
        let run = world.until(&id, &["complete", "waiting_human_input", "failed", "max_steps_reached"]).await;
        let answer = final_answer(&run);
        assert!(answer.is_empty() || answer.to_lowercase().contains("practice model"), "{task}: {answer:?}");
        if !ends_so(answer, end) {
            let list = if is_refusal(answer) { &mut refused } else { &mut wrong };
            list.push(format!("{task} → {} {answer:?}, not {end:?}", run["status"]));
        }
    }
    assert!(wrong.is_empty(), "wrong: {wrong:#?}");
    assert!(refused.len() <= 2, "honest, but of no use: {refused:#?}");
}

#[tokio::test]
async fn ten_tasks_ask_for_the_number_that_is_missing() {
    let world = World::new(PITON).serve().await;
    let mut wrong = Vec::new();
    for (task, said, expected) in ASKING {
        let id = world.launch(task).await;
        let run = world.until(&id, &["complete", "waiting_human_input", "failed", "max_steps_reached"]).await;
        if run["status"] != "waiting_human_input" {
            wrong.push(format!("{task} → did not ask: {} {:?}", run["status"], final_answer(&run)));
            continue;
        }
        assert!(run["question"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{run:#}");
        world.answer(&run, said).await.expect(200);
        let after = piton_testkit::until(piton_testkit::deadline(), "the end", async || {
            let run = world.run(&id).await;
            (run["status"] != "running").then_some(run)
        });
        let run = after.await.expect("the run ends or asks again");
        let answer = final_answer(&run);
        if !numbers(answer).iter().any(|number| (number - expected).abs() < 1e-6) {
            wrong.push(format!("{task} ({said}) → {} {answer:?}, not {expected}", run["status"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
