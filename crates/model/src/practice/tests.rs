//! What the practice model makes of tasks as people type them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::conversation::Conversation;
use super::play::{MATH, play, play_with};
use super::reply::{Said, reply};

/// Each task with the human's answers and the value that its answer begins with.
fn check(cases: &[(&str, &[&str], &str)]) {
    for (task, answers, value) in cases {
        let played = play(task, answers);
        let begins = played.answer.strip_prefix(value).is_some_and(|rest| rest.starts_with([' ', ';']));
        assert!(begins, "{task}: expected {value}, got {:?}", played.answer);
        assert!(played.answer.ends_with(" (practice model)"), "{task}: {:?}", played.answer);
        assert!(played.steps <= 10, "{task} took {} steps", played.steps);
        assert_eq!(played.asked.len(), answers.len(), "{task}: {:?}", played.asked);
    }
}

#[test]
fn arithmetic_in_signs_and_in_words() {
    let cases = [
        ("what is (17+5)*3 / 4?", "16.5"),
        ("add 3 and 4 then multiply by 2", "14"),
        ("square root of 2 to the power of 10", "32"),
        ("What's 20% of 150?", "30"),
        ("half of 90", "45"),
        ("What is 1,250.50 + 99.5?", "1350"),
        ("what is -5 + 3", "-2"),
        ("seven times eight", "56"),
        ("what is twenty-five divided by five", "5"),
        ("Multiply 12 by 11 and subtract 32", "100"),
        ("Divide 100 by 8, then add 7.5, then double it", "40"),
        ("What is the sum of 1, 2, 3, 4 and 5?", "15"),
        ("average of 4, 8 and 15", "9"),
        ("increase 50 by 10%", "55"),
        ("what is 50 + 10%", "55"),
        ("what percent of 50 is 10?", "20%"),
        ("10 is what percent of 40", "25%"),
        ("2 to the power of 10", "1024"),
        ("what's 3^4?", "81"),
        ("the square root of the sum of 9 and 16", "5"),
        ("1+2+3+4+5+6+7+8+9+10+11+12", "78"),
        ("what is 6! / 4!", "30"),
        ("5!", "120"),
        ("add 3 and 5!", "8"),
        ("What is the difference between 4 and 10?", "6"),
        ("take 7 away from 20", "13"),
        ("three quarters of 80", "60"),
        ("2/3 of 60", "40"),
        ("one hundred and five plus 5", "110"),
        ("What is 2+2 and what is 3*3?", "4 = 2 + 2; 9 = 3 × 3"),
        ("20% off 80", "64"),
        ("cube root of 27", "3"),
        ("5 squared plus 12 squared", "169"),
        ("raise 2 to the 5th power", "32"),
        ("What is the square root of 144 times 2?", "24"),
        ("0.1 + 0.2", "0.3"),
        ("12 * (3 + 4) - 2^3", "76"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("12 divided by 0.25", "48"),
        ("what is 3 x 4", "12"),
        ("What's 7 less than 20?", "13"),
        ("what's 8 squared minus 3 cubed?", "37"),
        ("start with 10, add 5, divide by 3 and square the result", "25"),
        ("Please compute 2(3 + 4)", "14"),
        ("hey, what's 15% tip on $60?", "9"),
        ("What is 3 + 4 = ?", "7"),
        ("the product of 2, 3, 4 and 5", "120"),
        ("decrease 80 by a quarter of 80", "60"),
        ("how much is 1e3 divided by 8?", "125"),
        ("what is the quotient of 144 and 12", "12"),
        ("sum of 2.5 million and 500k", "3000000"),
        ("Add 12 and 30, multiply the result by 2, and subtract 4.", "80"),
        ("What is 2½ × 4?", "10"),
        ("percentage change from 40 to 50", "25%"),
        ("Calculate: 7 × (8 − 3) ÷ 5", "7"),
        ("What is the hypotenuse of a right triangle with legs 3 and 4?", "5"),
        ("What is the area of a rectangle with length 8 and width 5?", "40"),
        ("What's the perimeter of a square with side 6?", "24"),
    ];
    check(&cases.map(|(task, value)| (task, &[][..], value)));
}

#[test]
fn a_missing_number_is_asked_for() {
    check(&[
        ("what is 5 times my age?", &["34"], "170"),
        ("what is 5 times my age?", &["it's 34"], "170"),
        ("what is 5 times my age?", &["no idea", "34 years"], "170"),
        ("add 10 to a number", &["-3"], "7"),
        ("what is x + 5?", &["7"], "12"),
        ("double my salary", &["$2,500 a month"], "5000"),
        ("add two numbers", &["3", "4"], "7"),
        ("Calculate 15% tip on my bill", &["$64"], "9.6"),
        ("Subtract 15 from my weight", &["82.5"], "67.5"),
        ("What do I get if I add 12 to my age?", &["thirty"], "42"),
        ("multiply my height by my weight", &["2", "80"], "160"),
        ("what is the square root of my number", &["144"], "12"),
        ("what is half of x minus 3", &["20"], "7"),
        ("The sum of my age and 10", &["7 plus 8"], "25"),
    ]);
}

#[test]
fn equations_fit_the_limit_of_steps() {
    let cases = [
        ("solve 2x + 3 = 11", "x = 4"),
        ("x^2 - 5x + 6 = 0", "x = 2 or x = 3"),
        ("solve x^2 + x + 1 = 0", "It has no real solutions: the discriminant is -3, which is negative"),
        ("solve x² = 49", "x = -7 or x = 7"),
        ("(x+2)(x-3)=0", "x = -2 or x = 3"),
        ("2(x+3) = 4x - 8", "x = 7"),
        ("x^2 + 2x + 3 = 2x^2 - 5", "x = -2 or x = 4"),
        ("what are the roots of x^2 - 4", "x = -2 or x = 2"),
        ("Find the roots of 2x² - 8x + 6 = 0", "x = 1 or x = 3"),
        ("Twice a number plus 3 is 11. What is the number?", "the number = 4"),
        ("I think of a number, multiply it by 3, add 4 and get 19. What is the number?", "the number = 5"),
        ("what number times 4 equals 20?", "the number = 5"),
        ("find x if 3x - 7 = 20", "x = 9"),
        ("What is x when 4x = 2x + 6?", "x = 3"),
        ("x squared minus 5 x plus 6 equals 0", "x = 2 or x = 3"),
        ("2x^2 + 4x + 2 = 0", "x = -1 (a double root)"),
        ("0.5x^2 - 2x + 1.5 = 0", "x = 1 or x = 3"),
        ("x(x-1) = 6", "x = -2 or x = 3"),
        ("x/2 + 3 = 7", "x = 8"),
        ("5 = y + 2", "y = 3"),
        ("solve 3(x - 2) + 4 = 2x + 5", "x = 7"),
        ("x + 1 = x + 2", "It has no solution: x drops out and the two sides are not equal"),
        ("2x + 2 = 2(x + 1)", "Every number solves it: x drops out and both sides are equal"),
        ("x^3 = 8", "I can solve linear and quadratic equations in one unknown, and this is another kind"),
    ];
    check(&cases.map(|(task, value)| (task, &[][..], value)));
}

#[test]
fn what_has_no_result_is_explained() {
    let cases = [
        ("10/0", "That has no result: 10 ÷ 0 is a division by zero"),
        ("divide 7 by 3 minus 3", "That has no result: 7 ÷ 0 is a division by zero"),
        ("square root of -4", "That has no real result: -4 is negative, so it has no real square root"),
        (
            "10^400",
            "I can't work that out: power of 10 and 400 failed (The result is too large for a number)",
        ),
    ];
    check(&cases.map(|(task, value)| (task, &[][..], value)));
}

#[test]
fn everything_else_is_refused() {
    for task in [
        "Write me a poem",
        "what's the weather in Paris",
        "what is the news today",
        "hello",
        "what time is it",
        "Translate dog into French",
        "What is my age?",
        "Is 7 more than 5?",
        "is 17 prime?",
        "What is 5 + ?",
        "3 and 4",
        "What is 100 mod 7?",
        "What is the largest of 3, 9 and 4?",
        "Round 3.7",
        "How much is 1,5 + 2?",
        "What is the sum?",
        "solve x + y = 10",
        "3x + 2y = 12",
        "add",
        "((((",
        "1e999 + 1",
        "5 +* 3",
        "two",
        "?",
        "💥",
        "12:30 - 3",
        "tell me a story about 3 bears",
        "What happened in 1969?",
        "Who won in 2022?",
        "My phone number is 555 1234",
    ] {
        let played = play(task, &[]);
        let refuses = played.answer.starts_with("I ") || task == "two";
        assert!(refuses, "{task}: {}", played.answer);
        assert!(played.called.is_empty(), "{task}: {:?}", played.called);
    }
}

#[test]
fn no_text_takes_long_or_deep() {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(500), close.repeat(500));
    for task in [
        nested("(", ")"),
        nested("((1+", ")*2)"),
        nested("-", ""),
        nested("√", ""),
        nested("2^", ""),
        nested("half of ", ""),
        nested("square root of ", ""),
        nested("sum of ", " and 2"),
        nested("1+", ""),
        nested("2*", ""),
        nested("add ", ""),
        format!("100 {}", "+ 10% ".repeat(500)),
        format!("start with 5 {}", ", increase it by 10%".repeat(49)),
        format!("A car costs $5. {} What is the price?", "It gets 10% cheaper. ".repeat(38)),
        format!("Tom has 9 apples{}. How many are left?", ", gives away a third".repeat(38)),
        "twice as many as ".repeat(400),
        "x + ".repeat(900),
        "a hundred and ".repeat(500),
        "( x + 1 ) ^ 2 * ".repeat(60),
    ] {
        let begun = std::time::Instant::now();
        reply(&read(json!({ "input": task, "tools": tools(&MATH) })));
        assert!(begun.elapsed().as_millis() < 2000, "{:?} for {}", begun.elapsed(), &task[..40]);
    }
}

#[test]
fn an_answer_without_a_number_is_asked_for_once_more() {
    let played = play("what is 5 times my age?", &["no idea", "I'd rather not say"]);
    assert_eq!(played.asked.len(), 2);
    assert_ne!(played.asked[0], played.asked[1]);
    assert!(played.answer.starts_with("I can't work that out: I asked twice"), "{}", played.answer);
    let played = play("what is 5 times my age?", &["between 30 and 40", "31"]);
    assert!(played.answer.starts_with("155 "), "{}", played.answer);
}

#[test]
fn independent_calls_go_in_one_turn() {
    let conversation = read(json!({ "input": "(1+2)*(3+4)", "tools": tools(&MATH) }));
    let Said::Calls(calls) = reply(&conversation) else { panic!("no calls") };
    let calls: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.arguments.to_string())).collect();
    let sum = |arguments: &str| ("sum_numbers", arguments.to_owned());
    assert_eq!(calls, [sum(r#"{"a":1,"b":2}"#), sum(r#"{"a":3,"b":4}"#)]);
}

#[test]
fn tools_that_are_not_in_the_list_are_not_called() {
    let said = |task: &str, names: &[&str]| reply(&read(json!({ "input": task, "tools": tools(names) })));
    let answer = |said: Said| match said {
        Said::Calls(calls) => calls[0].arguments["answer"].as_str().unwrap().to_owned(),
        Said::Text(text) => text,
    };
    assert!(answer(said("2+3", &["final_answer"])).contains("sum_numbers is not among the tools"));
    assert!(
        answer(said("5 times my age", &["multiply_numbers"])).contains("ask_human is not among the tools")
    );
    assert!(matches!(said("2+3", &[]), Said::Text(text) if text.contains("(practice model)")));
    assert!(
        matches!(said("write a poem", &["final_answer"]), Said::Calls(calls) if calls[0].name == "final_answer")
    );
}

#[test]
fn a_remark_on_how_to_answer_is_no_task() {
    let input = json!([
        { "role": "user", "content": "2 + 3" },
        { "role": "assistant", "content": "hm" },
        { "role": "user", "content": "That was text, not a tool call. Go on by calling one of your tools." },
    ]);
    let Said::Calls(calls) = reply(&read(json!({ "input": input, "tools": tools(&MATH) }))) else {
        panic!("text")
    };
    assert_eq!(calls[0].name, "sum_numbers");
}

#[test]
fn other_tools_are_called_by_name() {
    let amount = json!({ "type": "object", "properties": { "amount": { "type": "number" }, "note": { "type": "string" } },
                         "required": ["amount"], "additionalProperties": false });
    let ms = json!({ "type": "object", "properties": { "ms": { "type": "integer" } }, "required": ["ms"] });
    let mut tools = tools(&MATH);
    for (name, parameters) in
        [("book", amount), ("sleep", ms), ("now", json!({})), ("panic", json!({ "type": "object" }))]
    {
        tools.push(json!({ "type": "function", "name": name, "parameters": parameters }));
    }
    let made = |task: &str, answers: &[&str]| {
        let made = std::cell::RefCell::new(Vec::new());
        let played = play_with(task, answers, &tools, |name, arguments| {
            MATH.iter().all(|math| math != &name).then(|| {
                made.borrow_mut().push(format!("{name} {arguments}"));
                if name == "now" { json!("2026-11-22T10:00:00Z") } else { json!({ "id": 7 }) }
            })
        });
        (made.into_inner(), played)
    };
    let book = |arguments: &str| vec![format!("book {arguments}")];
    for (task, expected) in [
        ("call book with amount 5", book(r#"{"amount":5}"#)),
        ("Please call the book tool with amount=5.", book(r#"{"amount":5}"#)),
        (r#"book {"amount": 5}"#, book(r#"{"amount":5}"#)),
        (r#"use book: {"amount": 5, "note": "a, b"}"#, book(r#"{"amount":5,"note":"a, b"}"#)),
        (
            "call book with amount 12.50 and note 'rent for May'",
            book(r#"{"amount":12.5,"note":"rent for May"}"#),
        ),
        ("call book with note rent, amount: -3", book(r#"{"note":"rent","amount":-3}"#)),
        ("call book with 5", book(r#"{"amount":5}"#)),
        ("book amount=5", book(r#"{"amount":5}"#)),
        ("call sleep with ms=500", vec![r#"sleep {"ms":500}"#.to_owned()]),
        ("panic", vec!["panic {}".to_owned()]),
        (
            "call book with amount 5 then call now",
            vec![r#"book {"amount":5}"#.to_owned(), "now {}".to_owned()],
        ),
        (
            "call book twice with amount 1 and then sleep with ms 20",
            vec![
                r#"book {"amount":1}"#.to_owned(),
                r#"book {"amount":1}"#.to_owned(),
                r#"sleep {"ms":20}"#.to_owned(),
            ],
        ),
        ("what time is it?", vec!["now {}".to_owned()]),
    ] {
        let (made, played) = made(task, &[]);
        assert_eq!(made, expected, "{task}");
        assert!(played.answer.ends_with("(practice model)"), "{}", played.answer);
    }
    let (ten, played) = made("call book 10 times with amount=1", &[]);
    assert_eq!((ten.len(), played.steps), (10, 12));
    assert!(played.answer.starts_with("Made 10 calls, 0 of which failed."), "{}", played.answer);
    let (asked, played) = made("call book", &["17 euros"]);
    assert_eq!(
        (asked, played.asked),
        (book(r#"{"amount":17}"#), vec!["What should amount be for book?".to_owned()])
    );
    // Names that are ordinary words are no calls.
    for task in [
        "I have a book. It costs $5. How much do 3 books cost?",
        "write a book",
        "what is sleep?",
        "don't panic now",
    ] {
        assert_eq!(made(task, &[]).0, Vec::<String>::new(), "{task}");
    }
}

#[test]
fn a_tools_error_is_reported() {
    let tools = [json!({ "name": "book" }), json!({ "name": "final_answer" })];
    let played = play_with("call book", &[], &tools, |_, _| Some(json!("Error: HTTP 503")));
    assert_eq!(played.answer, "book failed: HTTP 503 (practice model)");
}

fn tools(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ "type": "function", "name": name })).collect()
}

fn read(request: Value) -> Conversation {
    Conversation::read(serde_json::from_value(request).unwrap())
}

/// Texts of the words that the grammars are made of, which reach further into them than noise does.
fn tasks() -> impl Strategy<Value = String> {
    let words = "add 5 and 3 then multiply by x = ( ) the square root of my age half 20 % $ each apples has Tom gives how \
                 many , . ? ! - / * ^ 1e9 0 buys costs per hour km twice as than more shared among boxes with what is \
                 minus to power third call book times {\"a\":1} √ ½ -3 left all if a an number equals point million";
    let words: Vec<&'static str> = words.split_whitespace().collect();
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_the_same_text_gives_the_same_reply(text in prop_oneof![".{0,200}", tasks()]) {
        let conversation = || read(json!({ "input": text, "tools": tools(&MATH) }));
        let said = reply(&conversation());
        prop_assert_eq!(&said, &reply(&conversation()));
        match said {
            Said::Calls(calls) => prop_assert!(!calls.is_empty() && calls.len() <= 32),
            Said::Text(_) => prop_assert!(false, "there is a final_answer to give"),
        }
    }

    #[test]
    fn no_request_makes_it_panic(
        texts in prop::collection::vec(prop_oneof![".{0,40}", tasks()], 0..4),
        outputs in prop::collection::vec(".{0,20}", 0..4),
    ) {
        let mut input: Vec<Value> = texts.iter().map(|text| json!({ "role": "user", "content": text })).collect();
        for (nth, output) in outputs.iter().enumerate() {
            input.push(json!({ "type": "function_call", "call_id": nth.to_string(), "name": "sum_numbers", "arguments": output }));
            input.push(json!({ "type": "function_call_output", "call_id": nth.to_string(), "output": output }));
        }
        reply(&read(json!({ "input": input, "tools": tools(&MATH) })));
    }

    #[test]
    fn sums_and_products_come_out_as_computed(a in -1000i64..1000, b in -1000i64..1000, c in 1i64..100) {
        let played = play(&format!("({a} + {b}) * {c} - {b}"), &[]);
        let expected = format!("{} ", (a + b) * c - b);
        prop_assert!(played.answer.starts_with(&expected), "{}", played.answer);
    }
}
