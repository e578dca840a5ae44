//! Any text is an image name or a clear error; a name is the same when it is read again.
#![no_main]

use kitwright::oci::platform::Platform;
use kitwright::oci::reference::ImageReference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Platform::parse(text).map(|platform| platform.normalize().to_string());
    match ImageReference::parse(text) {
        Ok(name) => {
            assert_eq!(ImageReference::parse(&name.to_string()).as_ref(), Ok(&name));
            assert_eq!(ImageReference::parse(&name.familiar()).as_ref(), Ok(&name));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
