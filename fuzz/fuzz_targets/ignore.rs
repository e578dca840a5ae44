//! Any ignore file is read or refused, and its patterns match any path in time.
#![no_main]

use kitwright::plan::dockerfile::ignore;
use kitwright::plan::pattern::Patterns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (text, path) = input;
    let Ok(lines) = ignore::parse(text) else { return };
    let Ok(patterns) = Patterns::parse(&lines) else { return };
    let _ = patterns.matches(path);
    let _ = patterns.descend(path, &Default::default());
});
