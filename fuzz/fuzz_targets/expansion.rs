//! Any word expands or is refused, whatever the lexer is set to.
#![no_main]

use std::collections::BTreeMap;

use kitwright::plan::dockerfile::expand::{Lexer, Uses};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str, &str)| {
    let (flags, value, word) = input;
    let lexer = Lexer {
        escape: if flags & 1 == 0 { '\\' } else { '`' },
        raw_quotes: flags & 2 != 0,
        raw_escapes: flags & 4 != 0,
        skip_quotes: flags & 8 != 0,
        skip_unset: flags & 16 != 0,
    };
    let variables: BTreeMap<String, String> =
        [("A", value), ("B", "two words"), ("E", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut uses = Uses::default();
    let noted = lexer.expand_noting(word, &variables, &mut uses);
    assert_eq!(noted.is_ok(), lexer.expand(word, &variables).is_ok());
    let _ = lexer.words(word, &variables);
});
