//! What the practice model makes of tasks as people type them.

use super::play::play;

#[test]
fn probe() {
    let Ok(text) = std::fs::read_to_string("/tmp/probe.txt") else { return };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut parts = line.split('|');
        let task = parts.next().unwrap().trim();
        let answers: Vec<&str> = parts.map(str::trim).collect();
        let played = std::panic::catch_unwind(|| play(task, &answers));
        match played {
            Ok(p) => println!("{task}\n    -> {} [{} steps] {:?}", p.answer, p.steps, p.asked),
            Err(_) => println!("{task}\n    -> PANIC"),
        }
    }
}
