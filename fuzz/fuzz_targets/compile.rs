//! Any Dockerfile compiles, or is refused, and does so twice alike.
#![no_main]

use kitwright::oci::digest::Digest;
use kitwright::plan::dockerfile::compile::{check, compile};
use kitwright::plan::dockerfile::source::Source;
use kitwright::plan::dockerfile::{
    CompileOptions, ImageQuery, ImageResolver, ResolveError, ResolvedImage, parse,
};
use libfuzzer_sys::fuzz_target;

struct Stub;

impl ImageResolver for Stub {
    fn resolve(&self, query: &ImageQuery) -> Result<Option<ResolvedImage>, ResolveError> {
        const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:5569bc6a636b5eded24bd992662668fa262db5fc5b484fedacd065c77971434d"]},"config":{"Env":["PATH=/bin"],"OnBuild":["RUN x"]}}"#;
        let digest = Digest::of(query.reference.as_bytes());
        Ok(Some(ResolvedImage { reference: None, digest, config: CONFIG.into() }))
    }
}

fuzz_target!(|text: &[u8]| {
    let options = CompileOptions::default();
    let _ = check(Source::new("Dockerfile", text), &options, &Stub);
    let Ok(file) = parse(text, "Dockerfile") else { return };
    match (compile(&file, &options, &Stub), compile(&file, &options, &Stub)) {
        (Ok(one), Ok(two)) => {
            let digests = |compiled: &kitwright::plan::dockerfile::Compiled| {
                let vertices = &compiled.platforms[0].definition.vertices;
                vertices.iter().map(|vertex| vertex.digest).collect::<Vec<_>>()
            };
            assert_eq!(digests(&one), digests(&two));
        }
        (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string()),
        _ => panic!("two compilations do not agree"),
    }
});
