//! Any bytes are a Dockerfile or a clear error.
#![no_main]

use kitwright::plan::dockerfile::directives::detect_syntax;
use kitwright::plan::dockerfile::{parse, parse_partially, source::Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = detect_syntax(text);
    match parse(text, "Dockerfile") {
        Ok(file) => assert!(!file.stages.is_empty()),
        Err(error) => {
            // What was read before the error is still there, and the error can be shown.
            let (_, again) = parse_partially(Source::new("Dockerfile", text));
            assert_eq!(again.map(|error| error.lines), Some(error.lines));
            assert!(!error.to_string().is_empty());
        }
    }
});
