//! Areas, perimeters and volumes of plain figures.

use super::expr::Expr;
use super::lexer::Token;
use super::operand::pi;
use super::words::Words;

/// The expression that a question about a figure comes to, all its numbers used and nothing else asked.
pub(super) fn find(tokens: &[Token]) -> Option<Expr> {
    let words: Vec<&str> = tokens.iter().filter_map(Token::word).collect();
    let has = |any: Words| words.iter().any(|word| any.has(word));
    let sizes: Vec<Expr> = tokens.iter().filter_map(Token::number).cloned().map(Expr::Number).collect();
    let is_plain = !has(Words("if cost costs per each times twice double how then more less"))
        || has(Words("how")) && has(Words("area volume perimeter")) && !has(Words("per cost costs many"));
    if !is_plain || tokens.iter().any(|token| token.is_sign('=') || token.is_sign('+') || token.is_sign('%'))
    {
        return None;
    }
    let two = || Expr::int(2);
    let size = |nth: usize| sizes[nth].clone();
    let asks = [
        has(Words("area")),
        has(Words("perimeter")),
        has(Words("circumference")),
        has(Words("volume")),
        has(Words("hypotenuse")),
        has(Words("diagonal")),
    ];
    if asks.iter().filter(|asked| **asked).count() != 1 {
        return None;
    }
    let [area, perimeter, circumference, volume, hypotenuse, diagonal] = asks;
    match sizes.len() {
        1 if has(Words("square")) && area => Some(size(0).power(two())),
        1 if has(Words("square")) && perimeter => Some(Expr::int(4).times(size(0))),
        1 if has(Words("cube")) && volume => Some(size(0).power(Expr::int(3))),
        1 if has(Words("circle")) && has(Words("radius")) && area => Some(pi().times(size(0).power(two()))),
        1 if has(Words("circle")) && has(Words("diameter")) && area => {
            Some(pi().times(size(0).over(two()).power(two())))
        }
        1 if has(Words("circle")) && has(Words("radius")) && circumference => {
            Some(two().times(pi()).times(size(0)))
        }
        1 if has(Words("circle")) && has(Words("diameter")) && circumference => Some(pi().times(size(0))),
        2 if has(Words("triangle")) && area => Some(size(0).times(size(1)).over(two())),
        2 if hypotenuse || diagonal && has(Words("rectangle")) => {
            Some(size(0).power(two()).plus(size(1).power(two())).root())
        }
        2 if has(Words("rectangle rectangular room garden field lawn")) && area => {
            Some(size(0).times(size(1)))
        }
        2 if has(Words("rectangle rectangular room garden field lawn")) && perimeter => {
            Some(two().times(size(0).plus(size(1))))
        }
        3 if has(Words("triangle")) && perimeter => Some(size(0).plus(size(1)).plus(size(2))),
        3 if has(Words("box cuboid prism tank room")) && volume => {
            Some(size(0).times(size(1)).times(size(2)))
        }
        _ => None,
    }
}
