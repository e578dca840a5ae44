//! The words of a text, as they come out of expansion.

/// Collects words while a text is scanned.
#[derive(Default)]
pub(super) struct Words {
    done: Vec<String>,
    current: String,
    in_word: bool,
}

impl Words {
    /// Adds a character; whitespace ends a word.
    pub(super) fn add(&mut self, c: char) {
        if !c.is_whitespace() {
            self.add_raw(c);
        } else if self.in_word && !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
            self.in_word = false;
        }
    }

    /// Adds a character to the word, whatever it is.
    pub(super) fn add_raw(&mut self, c: char) {
        self.current.push(c);
        self.in_word = true;
    }

    /// Adds a text to the word, whatever is in it.
    pub(super) fn add_raw_text(&mut self, text: &str) {
        self.current.push_str(text);
        self.in_word = true;
    }

    /// Drops what the word holds so far.
    pub(super) fn forget_current(&mut self) {
        self.current.clear();
    }

    /// Returns the words; an empty one is none.
    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}
