use super::*;

fn variables() -> BTreeMap<String, String> {
    let pairs = [
        ("A", "a b"),
        ("E", ""),
        ("P", "/usr/local/lib.tar.gz"),
        ("V", "v1.2.3"),
        ("D", "$0x"),
        ("Ä1", "umlaut"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn expand(word: &str) -> Result<String, String> {
    let result = Lexer::new('\\').expand(word, &variables()).map(Cow::into_owned);
    result.map_err(|error| error.reason.to_string())
}

fn words(word: &str) -> Vec<String> {
    Lexer::new('\\').words(word, &variables()).unwrap()
}

fn check(cases: &[(&str, &str)]) {
    for (word, expanded) in cases {
        assert_eq!(expand(word).as_deref(), Ok(*expanded), "{word}");
    }
}

#[test]
fn names_end_where_they_must() {
    check(&[
        ("plain", "plain"),
        ("$A", "a b"),
        ("x${A}y", "xa by"),
        ("$V_", ""),
        ("$1A", "A"),
        ("$12", ""),
        ("$", "$"),
        ("$ x", "$ x"),
        ("$?x", "x"),
        ("$Ä1.", "umlaut."),
        ("\\$A", "$A"),
        ("a\\", "a"),
        ("\u{feff}a", "a"),
    ]);
}

#[test]
fn quotes_are_removed() {
    check(&[
        ("'$A'", "$A"),
        ("\"$A\"", "a b"),
        ("\"\\$A \\x \\\" \\\\\"", "$A \\x \" \\"),
        ("a\\ b\\'", "a b'"),
        ("''", ""),
    ]);
    let raw = Lexer { raw_quotes: true, raw_escapes: true, ..Lexer::new('\\') };
    assert_eq!(raw.expand("'a' \"\\\"\" \\b", &()).unwrap(), "'a' \"\\\"\" \\b");
    let heredoc = Lexer::heredoc();
    assert_eq!(heredoc.expand("'$V' \"", &variables()).unwrap(), "'v1.2.3' \"");
    assert_eq!(Lexer::new('`').expand("`$A\\", &variables()).unwrap(), "$A\\");
}

#[test]
fn defaults_and_alternatives() {
    check(&[
        ("${A:-x}", "a b"),
        ("${E:-x}", "x"),
        ("${E-x}", ""),
        ("${X-x y}", "x y"),
        ("${X:-$V}", "v1.2.3"),
        ("${X:-${Y:-'}'}}", "}"),
        ("${A:+x}", "x"),
        ("${E:+x}", ""),
        ("${E+x}", "x"),
        ("${X+x}", ""),
        ("${E?x}", ""),
    ]);
}

#[test]
fn patterns_trim() {
    check(&[
        ("${P#*/}", "usr/local/lib.tar.gz"),
        ("${P##*/}", "lib.tar.gz"),
        ("${P%.*}", "/usr/local/lib.tar"),
        ("${P%%.*}", "/usr/local/lib"),
        ("${V#v?}", ".2.3"),
        ("${V%\\*}", "v1.2.3"),
        ("${V#$X}", "v1.2.3"),
        ("${X#a}", ""),
    ]);
}

#[test]
fn patterns_replace() {
    check(&[
        ("${P/l/L}", "/usr/Local/lib.tar.gz"),
        ("${P//l/L}", "/usr/LocaL/Lib.tar.gz"),
        ("${P//\\//-}", "-usr-local-lib.tar.gz"),
        ("${V/*/x}", "x"),
        ("${V//./\\$0}", "v1\\.2\\.3"),
        ("${V/./$D}", "v1$0x2.3"),
        ("${V//./$D}", "v123"),
        ("${V///-}", "-v-1-.-2-.-3-"),
    ]);
}

#[test]
fn mistakes_are_refused() {
    for (word, message) in [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("${A", "unsupported modifier (\u{fffd}) in substitution"),
        ("${", "syntax error: missing `}`"),
        ("${}", "syntax error: bad substitution"),
        ("${{A}}", "syntax error: bad substitution"),
        ("${A:-b", "syntax error: missing `}`"),
        ("${A:x}", "unsupported modifier (:x) in substitution"),
        ("${A:#x}", "unsupported modifier (:#) in substitution"),
        ("${A!x}", "unsupported modifier (!) in substitution"),
        ("${A/b}", "syntax error: missing `/` in ${}"),
        ("${A/b/c", "syntax error: missing `}`"),
        ("${X?}", "X: is not allowed to be unset"),
        ("${X:?set me}", "X: set me"),
        ("${E:?}", "E: is not allowed to be empty"),
        ("${A#\\x}", "invalid pattern (\\x) in substitution: invalid escape `\\x`"),
    ] {
        assert_eq!(expand(word), Err(message.to_owned()), "{word}");
    }
}

#[test]
fn variables_used_are_noted() {
    let mut uses = Uses::default();
    let lexer = Lexer::new('\\');
    lexer.expand_noting("$A ${X:-$Y} '$Z' \"$V\"", &variables(), &mut uses).unwrap();
    assert_eq!(uses.matched.into_iter().collect::<Vec<_>>(), ["A", "V"]);
    assert_eq!(uses.unmatched.into_iter().collect::<Vec<_>>(), ["X", "Y"]);
    let mut uses = Uses::default();
    assert!(lexer.expand_noting("$X '", &variables(), &mut uses).is_err());
    assert!(uses.unmatched.contains("X"));
}

#[test]
fn unset_variables_can_be_kept() {
    let lexer = Lexer { skip_unset: true, ..Lexer::new('\\') };
    let kept = "$X ${X} ${X:-a$V} ${X?} ${X:z} ${X%b}";
    let expanded = lexer.expand(kept, &variables()).unwrap();
    assert_eq!(expanded, "$X ${X} ${X:-av1.2.3} ${X?} ${X:z} ${X%b}");
    assert_eq!(lexer.expand("${X//a/b}", &variables()).unwrap(), "${X/a/b}");
}

#[test]
fn words_are_split_after_expansion() {
    assert_eq!(words("$A c"), ["a", "b", "c"]);
    assert_eq!(words("\"$A\" 'c d'e"), ["a b", "c de"]);
    assert_eq!(words("  a\\ b  "), ["a b"]);
    assert_eq!(words("a << b <<-c"), ["a", "<< b", "<<-c"]);
    assert_eq!(words("\"\" x"), ["x"]);
    // What stands before a modifier in the same word is lost, as it is in BuildKit.
    assert_eq!(words("80${E:-90}"), ["90"]);
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| ["${X:-".repeat(depth), "a".into(), "}".repeat(depth)].concat();
    assert_eq!(expand(&nested(99)).as_deref(), Ok("a"));
    assert_eq!(expand(&nested(100_000)), Err(ExpandErrorReason::TooDeep.to_string()));
    let long: BTreeMap<_, _> = [("L".to_owned(), "x".repeat(1 << 20))].into();
    let error = Lexer::new('\\').expand(&"$L".repeat(40), &long).unwrap_err();
    assert_eq!(error.reason, ExpandErrorReason::TooLong);
    let lexer = Lexer::new('\\');
    let many = BTreeMap::from([
        ("A".to_owned(), "a".repeat(1 << 20)),
        ("R".to_owned(), "b".repeat(1 << 20)),
    ]);
    for word in [
        "${A//a/$R}".to_owned(),
        "${A//?/$R}".to_owned(),
        ["${X:-$A".repeat(60), "}".repeat(60)].concat(),
    ] {
        assert_eq!(lexer.expand(&word, &many).unwrap_err().reason, ExpandErrorReason::TooLong);
    }
}
