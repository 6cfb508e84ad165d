//! Whole tasks of arithmetic: a question about one expression, or instructions one after the other ("add 3 and 4,
//! then multiply the result by 2"). Every word has to be understood, or nothing is.

use super::expr::{Expr, Op, pairwise};
use super::lexer::Token;
use super::reader::{Names, Reader};
use super::words::Words;

/// Words in front of a task that ask for it without saying anything of it.
const OPENERS: Words = Words(
    "please if can could would will you tell me us what whats is are was calculate compute evaluate \
     find work out give show the how much many i want need to know like hey hi hello there quickly \
     just so ok okay now do does did value result answer of for help with figure solve simplify \
     determine question math maths quick a an exactly your task following this expression problem \
     exercise let in your head using tools be it we get good morning dear model total and number \
     that would say my",
);

/// Words behind a task that add nothing to it.
const CLOSERS: Words = Words(
    "please thanks thank you for me is equal equals make makes be come comes to what the result \
     answer total in all altogether now then quickly exactly and tell give it cheers a lot as \
     number do i get we how much that value final of this using your tools together with up \
     everything show return report so would dollars euros exact",
);

/// Words that lead from one instruction to the next.
const LINKS: Words = Words("then next finally afterwards first lastly and now also second third please");

/// An expression that a task asks the value of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    pub(super) expr: Expr,
    /// What is written behind the value: `%`, or a unit that goes without saying nowhere.
    pub(super) suffix: &'static str,
}

/// The tasks of a text that asks for nothing but values; several, when it has several questions.
pub(super) fn tasks(tokens: &[Token]) -> Option<Vec<Task>> {
    if tokens
        .first()
        .is_some_and(|token| matches!(token.word(), Some("is" | "are" | "does" | "did" | "do" | "was")))
    {
        // A question for yes or no.
        return None;
    }
    if let Some(task) = task(tokens) {
        return Some(vec![task]);
    }
    let pieces = questions(tokens);
    (2..=10).contains(&pieces.len()).then(|| pieces.into_iter().map(task).collect())?
}

/// The text cut at question marks, and before each "and what is".
fn questions(tokens: &[Token]) -> Vec<&[Token]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 0..tokens.len() {
        let is_end = tokens[at].is_sign('?') || tokens[at].is_sign(';');
        let is_and_what = matches!(tokens[at].word(), Some("and"))
            && tokens.get(at + 1).is_some_and(|next| matches!(next.word(), Some("what" | "how")));
        if (is_end || is_and_what) && at > start {
            pieces.push(&tokens[start..at]);
            start = at + 1;
        }
    }
    if start < tokens.len() {
        pieces.push(&tokens[start..]);
    }
    pieces
}

fn task(tokens: &[Token]) -> Option<Task> {
    if let Some(expr) = starts(tokens).find_map(|start| percentage(&tokens[start..])) {
        return Some(Task { expr, suffix: "%" });
    }
    let expr = whole(tokens, Names::Asked)?;
    // "What is my age" is no arithmetic.
    (!matches!(expr, Expr::Asked(_))).then_some(Task { expr, suffix: "" })
}

/// The expression that all of `tokens` come to, openers and closers aside.
pub(super) fn whole(tokens: &[Token], names: Names) -> Option<Expr> {
    starts(tokens).find_map(|start| {
        let mut reader = Reader::new(&tokens[start..], names);
        let expr = reader.program()?;
        is_rest_empty(&reader).then_some(expr)
    })
}

/// Where the task may begin: behind none, one, or all of its openers.
fn starts(tokens: &[Token]) -> impl Iterator<Item = usize> {
    let is_opener = |token: &Token| {
        token.word().is_some_and(|word| OPENERS.has(word))
            || [',', ':', '!', '.', '?'].iter().any(|sign| token.is_sign(*sign))
    };
    let openers = tokens.iter().take(40).take_while(|token| is_opener(token)).count();
    0..=openers
}

pub(super) fn is_rest_empty(reader: &Reader<'_>) -> bool {
    reader.tokens[reader.at..].iter().all(|token| match token.word() {
        Some(word) => CLOSERS.has(word),
        None => ['?', '!', '.', '=', ',', ':', ';'].iter().any(|sign| token.is_sign(*sign)),
    })
}

/// "What percent of 50 is 10", "10 is what percent of 50", "10 as a percentage of 50", "percent change from 4 to 5".
fn percentage(tokens: &[Token]) -> Option<Expr> {
    const PERCENT: &[&str] = &["percent", "percentage", "per cent", "%"];
    let mut reader = Reader::new(tokens, Names::Asked);
    let percent = |reader: &mut Reader<'_>| reader.eat(PERCENT) || reader.sign('%');
    let share = |part: Expr, whole: Expr| part.times(Expr::int(100)).over(whole);
    let expr = if percent(&mut reader) {
        if reader.eat(&["of"]) {
            let whole = reader.sum()?;
            reader.eat(&["is", "are", "equals"]).then_some(())?;
            share(reader.sum()?, whole)
        } else if reader.eat(&["change from", "increase from", "decrease from", "difference from"]) {
            let before = reader.sum()?;
            reader.eat(&["to"]).then_some(())?;
            share(reader.sum()?.minus(before.clone()), before)
        } else {
            reader.eat(&["is", "are"]).then_some(())?;
            let part = reader.sum()?;
            reader.eat(&["of", "out of"]).then_some(())?;
            share(part, reader.sum()?)
        }
    } else {
        let part = reader.sum()?;
        let is_asked = reader.eat(&["is what", "is which", "are what", "as a", "as"]) && percent(&mut reader);
        (is_asked && reader.eat(&["of"])).then_some(())?;
        share(part, reader.sum()?)
    };
    is_rest_empty(&reader).then_some(expr)
}

impl Reader<'_> {
    /// Instructions in order; all behind the first go on with what came out before.
    fn program(&mut self) -> Option<Expr> {
        self.skip_links();
        let first = self.clause()?;
        self.so_far = Some(first);
        for _ in 0..50 {
            let next = self.attempt(|reader| {
                reader.skip_links();
                reader.used_so_far = false;
                let next = reader.clause()?;
                (reader.used_so_far && next.fits()).then_some(next)
            });
            match next {
                Some(next) => self.so_far = Some(next),
                None => break,
            }
        }
        self.so_far.take().filter(Expr::fits)
    }

    pub(super) fn skip_links(&mut self) {
        loop {
            let at = self.at;
            self.skip(LINKS);
            self.eat(&["after that", "after this", "to that", "to it", "from it", "from that"]);
            for sign in [',', ';', '.'] {
                self.sign(sign);
            }
            if self.at == at {
                return;
            }
        }
    }

    /// One instruction, or an expression.
    pub(super) fn clause(&mut self) -> Option<Expr> {
        self.attempt(Self::instruction)
            .or_else(|| self.attempt(Self::going_on))
            .or_else(|| self.attempt(Self::sum))
    }

    /// "plus 4", "times 3": the result so far is the first operand.
    fn going_on(&mut self) -> Option<Expr> {
        let before = self.so_far.clone()?;
        let at = self.at;
        let base = self.power_from(before)?;
        let product = self.product_from(base)?;
        let expr = self.sum_from(product)?;
        self.used_so_far = true;
        (self.at > at).then_some(expr)
    }

    /// The result so far, or where there is none the number to begin with, which is asked for.
    fn before(&mut self) -> Option<Expr> {
        if let Some(so_far) = self.so_far.clone() {
            self.used_so_far = true;
            return Some(so_far);
        }
        (self.names == Names::Asked).then(|| Expr::Asked("Which number should I start from?".to_owned()))
    }

    fn instruction(&mut self) -> Option<Expr> {
        if self.eat(&["add up", "sum up", "total up", "sum"]) {
            return Some(pairwise(Op::Sum, self.items()?));
        }
        if self.eat(&["add", "adding"]) {
            return self.adding();
        }
        if self.eat(&["subtract", "deduct", "subtracting", "remove", "take away"]) {
            let taken = self.sum_or_share()?;
            self.eat(&["away"]);
            if self.eat(&["from"]) {
                return Some(taken.from(self.sum()?));
            }
            return Some(taken.from(self.before()?));
        }
        if self.eat(&["take"]) {
            let taken = self.sum()?;
            self.eat(&["away"]);
            return if self.eat(&["from"]) { Some(self.sum()?.minus(taken)) } else { Some(taken) };
        }
        if self.eat(&["multiply", "multiplying"]) {
            return self.multiplying();
        }
        if self.eat(&["divide", "dividing", "split", "share"]) {
            return self.dividing();
        }
        for (verb, op, factor) in [
            ("double", Op::Multiply, 2),
            ("triple", Op::Multiply, 3),
            ("quadruple", Op::Multiply, 4),
            ("halve", Op::Divide, 2),
            ("square", Op::Power, 2),
            ("cube", Op::Power, 3),
        ] {
            if self.eat(&[verb]) && !matches!(self.word(0), "root" | "of") {
                let of = self.attempt(Self::sum).or_else(|| self.before())?;
                return Some(Expr::apply(op, of, Expr::int(factor)));
            }
        }
        if self.eat(&["raise"]) {
            let base = self.operand()?;
            if self.eat(&["to the power of", "to the power", "to"]) {
                return Some(base.power(self.operand()?));
            }
            return if self.eat(&["by"]) { Some(self.sum_or_share()?.onto(base)) } else { Some(base) };
        }
        if self.eat(&["increase"]) {
            let before = self.operand_or_before()?;
            return self.eat(&["by"]).then(|| Some(self.sum_or_share()?.onto(before)))?;
        }
        if self.eat(&["decrease", "reduce", "lower"]) {
            let before = self.operand_or_before()?;
            return self.eat(&["by"]).then(|| Some(self.sum_or_share()?.from(before)))?;
        }
        if self.eat(&["start with", "begin with", "start from", "start at", "think of", "pick", "choose"]) {
            return self.sum();
        }
        None
    }

    fn adding(&mut self) -> Option<Expr> {
        if let Some(items) = self.attempt(Self::several_asked) {
            return Some(pairwise(Op::Sum, items));
        }
        let first = self.sum_or_share()?;
        if self.eat(&["to"]) {
            return Some(first.onto(self.sum()?));
        }
        let Addend::Amount(first) = first else { return Some(first.onto(self.before()?)) };
        let mut items = vec![first];
        while let Some(item) = self.attempt(|reader| {
            let is_more = reader.sign(',') | reader.eat(&["and", "with"]);
            // "add 3 and 4 and multiply by 2": the second "and" leads on.
            is_more.then(|| reader.sum())?
        }) {
            items.push(item);
        }
        self.eat(&["together", "up"]);
        if items.len() > 1 && self.so_far.is_none() {
            if self.eat(&["to"]) {
                items.push(self.sum()?);
            }
            return Some(pairwise(Op::Sum, items));
        }
        let before = self.before()?;
        Some(before.plus(pairwise(Op::Sum, items)))
    }

    fn multiplying(&mut self) -> Option<Expr> {
        if self.eat(&["by", "with"]) {
            return Some(self.before()?.times(self.sum()?));
        }
        if let Some(items) = self.attempt(Self::several_asked) {
            return Some(pairwise(Op::Multiply, items));
        }
        let first = self.sum()?;
        if self.eat(&["by", "with"]) {
            return Some(first.times(self.sum()?));
        }
        let mut items = vec![first];
        while let Some(item) = self.attempt(|reader| {
            let is_more = reader.sign(',') | reader.eat(&["and", "times"]);
            is_more.then(|| reader.sum())?
        }) {
            items.push(item);
        }
        self.eat(&["together"]);
        (items.len() > 1).then(|| pairwise(Op::Multiply, items))
    }

    fn dividing(&mut self) -> Option<Expr> {
        const INTO: &[&str] = &[
            "by",
            "into",
            "among",
            "amongst",
            "between",
            "equally among",
            "equally between",
            "evenly among",
            "evenly between",
            "evenly by",
            "with",
        ];
        let whole = if INTO.contains(&self.word(0)) { self.before()? } else { self.sum()? };
        self.skip_noun();
        if !self.eat(INTO) {
            return None;
        }
        let parts = self.sum()?;
        self.skip(Words("equal equally"));
        self.skip_noun();
        self.skip(Words("equally evenly"));
        Some(whole.over(parts))
    }

    /// "people", "equal parts": what is counted, which changes nothing.
    fn skip_noun(&mut self) {
        const NOUNS: Words = Words(
            "people persons friends parts pieces ways kids children groups students guests us \
             players shares dollars euros apples cookies candies sweets",
        );
        self.skip(NOUNS);
    }

    fn operand_or_before(&mut self) -> Option<Expr> {
        if self.word(0) == "by" { self.before() } else { self.operand() }
    }

    /// An amount, or a share of what it is added to or taken from.
    fn sum_or_share(&mut self) -> Option<Addend> {
        let share = self.attempt(|reader| {
            let number = Expr::Number(reader.number()?);
            let is_share = reader.sign('%') || reader.eat(&["percent", "per cent"]);
            (is_share && !matches!(reader.word(0), "of" | "off" | "on")).then_some(number)
        });
        if let Some(percent) = share {
            self.skip(Words("tax vat tip interest more"));
            return Some(Addend::Percent(percent));
        }
        self.sum().map(Addend::Amount)
    }
}

enum Addend {
    Amount(Expr),
    Percent(Expr),
}

impl Addend {
    fn onto(self, whole: Expr) -> Expr {
        match self {
            Self::Amount(amount) => whole.plus(amount),
            Self::Percent(percent) => whole.clone().plus(whole.percent(percent)),
        }
    }

    fn from(self, whole: Expr) -> Expr {
        match self {
            Self::Amount(amount) => whole.minus(amount),
            Self::Percent(percent) => whole.clone().minus(whole.percent(percent)),
        }
    }
}
