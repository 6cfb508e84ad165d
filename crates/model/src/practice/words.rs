//! Sets of words, written as a sentence.

/// Words with a space between each two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words(pub(super) &'static str);

impl Words {
    pub(super) fn has(self, word: &str) -> bool {
        self.0.split(' ').any(|known| known == word)
    }
}
