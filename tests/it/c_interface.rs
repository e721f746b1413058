//! The C interface: its header is the one that the code generates, and a compiled C program
//! lives through the whole story under valgrind.

use std::path::PathBuf;

use crate::support::bless;

const HEADER: &str = "static/sdk/c/tollkeeper.h";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The header as the source has it now.
fn generate() -> String {
    let preamble = "/* Tollkeeper: the license of an application. Generated from src/client/ffi.rs.\n *\n\
         \x20* Nothing here is global. Every handle belongs to the caller, and one function frees it; NULL is never\n\
         \x20* followed. Texts are UTF-8 ending in zero. A function returns 0, or the negative number that applications show,\n\
         \x20* -(20000 + code); then *error, unless error is NULL, is an error to be freed by tk_error_free. */";
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        include_guard: Some("TOLLKEEPER_H".to_owned()),
        header: Some(preamble.to_owned()),
        no_includes: true,
        sys_includes: vec!["stdint.h".to_owned()],
        documentation_style: cbindgen::DocumentationStyle::C,
        line_length: 140,
        usize_is_size_t: true,
        ..cbindgen::Config::default()
    };
    let source = root().join("src/client/ffi.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate().expect("the header");
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    String::from_utf8(bytes).expect("text")
}

#[test]
fn the_header_is_the_one_that_the_code_generates() {
    let made = generate();
    let path = root().join(HEADER);
    if bless() {
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(&path, &made).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("the header");
    assert_eq!(kept, made, "{HEADER} is not what src/client/ffi.rs says: TOLLKEEPER_BLESS=1 writes it anew");
}
