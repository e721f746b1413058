//! What a developer pastes into an application: for each language that there is a library of,
//! with the license key of a handshake code filled in (pages, "Handshake codes").
//!
//! A new language is a row of [`SNIPPETS`], a template beside the others, and its library below
//! `static/sdk/`. The test below compiles or runs every one of them.

use askama::Template;

use crate::http::assets;

/// What is filled in.
pub struct Filling {
    /// `TK1.…`
    pub license_key: String,
    /// The public keys of the vendors of the code's items, PEM; empty when none is known.
    pub vendor_keys: Vec<String>,
    /// The product, such as `dbr`.
    pub product: String,
    /// What the code asks for.
    pub more: Vec<Setting>,
    /// This server, such as `https://license.example.com:48443`.
    pub server: String,
    /// For requests by hand: the request's own fields.
    pub handshake_code: String,
    /// The organization.
    pub organization_id: String,
    /// The session password, if the code has one.
    pub session_password: Option<String>,
    /// A device that asks by hand.
    pub client_uuid: String,
    /// 16 random bytes, base64url.
    pub nonce: String,
}

/// A setting that the handshake code asks for.
pub struct Setting {
    /// Its name, such as `applicationId`.
    pub name: &'static str,
    /// A value that the code takes.
    pub value: String,
}

impl Setting {
    /// The name as the request has it.
    fn field(&self) -> &'static str {
        if self.name == "applicationId" { "application_id" } else { "process_name" }
    }

    /// Browsers have no process.
    fn is_for_browsers(&self) -> bool {
        self.name == "applicationId"
    }

    fn quoted(&self) -> String {
        quote(&self.value)
    }

    fn plain(&self) -> String {
        plain_quote(&self.value)
    }

    /// As a property of C#, and after `set` in Java.
    fn pascal_name(&self) -> &'static str {
        if self.name == "applicationId" { "ApplicationId" } else { "ProcessName" }
    }

    fn as_attribute(&self) -> String {
        attribute(&self.value)
    }
}

/// A snippet, ready to be shown.
pub struct Snippet {
    /// Names it in the page.
    pub id: &'static str,
    /// The language, for people.
    pub title: &'static str,
    /// What is needed beside it.
    pub needs: &'static str,
    /// Where that is.
    pub href: String,
    /// The text.
    pub text: String,
}

/// A row: id, language, folder below `static/sdk/` (empty: none is needed), what is needed,
/// template.
type Row = (&'static str, &'static str, &'static str, &'static str, fn(&Filling) -> askama::Result<String>);

/// The languages.
const SNIPPETS: &[Row] = &[
    ("script-tag", "JavaScript, script tag", "javascript", "tollkeeper.js", |filling| ScriptTag { filling }.render()),
    ("es-module", "JavaScript, ES module", "javascript", "tollkeeper.mjs and tollkeeper.js", |filling| EsModule { filling }.render()),
    ("node", "Node", "javascript", "npm install ./tollkeeper-javascript.tar", |filling| Node { filling }.render()),
    ("c", "C", "c", "tollkeeper.h and the library", |filling| C { filling }.render()),
    ("cpp", "C++", "cpp", "tollkeeper.hpp, tollkeeper.h and the library", |filling| Cpp { filling }.render()),
    ("csharp", "C#", "csharp", "the package Tollkeeper", |filling| CSharp { filling }.render()),
    ("java", "Java and Android", "java", "tollkeeper-all.jar", |filling| Java { filling }.render()),
    ("python", "Python", "python", "the wheel tollkeeper", |filling| Python { filling }.render()),
    ("objective-c", "Objective-C", "objective-c", "TKLicense and the library", |filling| ObjectiveC { filling }.render()),
    ("curl", "curl", "", "ca.pem, the site’s certificate authority, from the page Security", |filling| Curl { filling }.render()),
];

macro_rules! templates {
    ($($name:ident = $path:literal),+) => {
        $(#[derive(Template)]
        #[template(path = $path, escape = "none")]
        struct $name<'a> { filling: &'a Filling })+
    };
}

templates! {
    ScriptTag = "admin/snippets/script-tag.html.txt",
    EsModule = "admin/snippets/es-module.txt",
    Node = "admin/snippets/node.txt",
    C = "admin/snippets/c.txt",
    Cpp = "admin/snippets/cpp.txt",
    CSharp = "admin/snippets/csharp.txt",
    Java = "admin/snippets/java.txt",
    Python = "admin/snippets/python.txt",
    ObjectiveC = "admin/snippets/objective-c.txt",
    Curl = "admin/snippets/curl.txt"
}

impl Filling {
    /// The vendor's keys, PEM, as a string of a language with C's escapes.
    fn quoted_pem(&self) -> String {
        quote(&self.vendor_text())
    }

    /// The vendor's key, as short as it can be, as such a string.
    fn quoted_vendor(&self) -> String {
        quote(&self.vendor())
    }

    /// The vendor's keys, PEM, as a string of Python, Java and C#.
    fn plain_pem(&self) -> String {
        plain_quote(&self.vendor_text())
    }

    fn plain_product(&self) -> String {
        plain_quote(&self.product)
    }

    fn vendor_attribute(&self) -> String {
        attribute(&self.vendor())
    }

    fn quoted_product(&self) -> String {
        quote(&self.product)
    }

    fn product_attribute(&self) -> String {
        attribute(&self.product)
    }

    /// The base64 of one key, or the PEMs of several.
    fn vendor(&self) -> String {
        match self.vendor_keys.as_slice() {
            [one] => one.lines().filter(|line| !line.starts_with("-----")).collect(),
            _ => self.vendor_text(),
        }
    }

    fn vendor_text(&self) -> String {
        if self.vendor_keys.is_empty() { "…the text of vendor.pub…".to_owned() } else { self.vendor_keys.concat() }
    }

    /// The body of a request by hand, JSON that stands in a shell's single quotes.
    fn request(&self) -> String {
        let mut body = serde_json::json!({
            "client_uuid": self.client_uuid, "organization_id": self.organization_id, "handshake_code": self.handshake_code,
            "product": self.product, "nonce": self.nonce,
        });
        if let Some(password) = &self.session_password {
            body["session_password"] = password.as_str().into();
        }
        for setting in &self.more {
            body["validation"][setting.field()] = setting.value.as_str().into();
        }
        serde_json::to_string_pretty(&body).unwrap_or_default().replace('\'', "'\\''")
    }
}

/// A string of a language with C's escapes: JavaScript, C.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            // C knows three-letter names of signs that begin with two of them.
            '?' => quoted.push_str("\\?"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A string of a language that knows only the common escapes: Python, Java, C#.
fn plain_quote(text: &str) -> String {
    quote(text).replace("\\?", "?")
}

/// The value of an attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// Every snippet whose library this server has.
///
/// # Errors
/// A template cannot be rendered.
pub fn all(filling: &Filling) -> askama::Result<Vec<Snippet>> {
    let is_there = |folder: &str| folder.is_empty() || assets::Assets::get(&format!("sdk/{folder}/README.md")).is_some();
    let rows = SNIPPETS.iter().filter(|(_, _, folder, ..)| is_there(folder));
    rows.map(|(id, title, folder, needs, render)| {
        let href = if folder.is_empty() { "/admin/security".to_owned() } else { format!("/sdk/{folder}/") };
        Ok(Snippet { id, title, needs, href, text: render(filling)?.trim_end().to_owned() + "\n" })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn filling(product: &str) -> Filling {
        let vendor = crate::documents::SigningKey::generate();
        Filling {
            license_key: "TK1.eyJzZXJ2ZXJzIjpb".to_owned(),
            vendor_keys: vec![vendor.verifying_key().to_spki_pem()],
            product: product.to_owned(),
            more: [("applicationId", "com.example.scanner"), ("processName", "scan'ner.exe")]
                .map(|(name, value)| Setting { name, value: value.to_owned() })
                .into(),
            server: "https://license.example.com:48443".to_owned(),
            handshake_code: "216998-line4".to_owned(),
            organization_id: "216998".to_owned(),
            session_password: Some("it's \"secret\"".to_owned()),
            client_uuid: "6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88".to_owned(),
            nonce: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        }
    }

    fn must(command: &mut Command, of: &str) {
        let output = command.output().unwrap_or_else(|error| panic!("{of}: {error}"));
        assert!(output.status.success(), "{of}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Has the language's own tool read a snippet.
    fn check(snippet: &Snippet, folder: &Path) {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("done");
            path
        };
        match snippet.id {
            "script-tag" => {
                let (_, script) = snippet.text.rsplit_once("<script>").expect("done");
                let (script, _) = script.split_once("</script>").expect("done");
                must(Command::new("node").arg("--check").arg(write("tag.js", script)), snippet.id);
            }
            "es-module" | "node" => must(Command::new("node").arg("--check").arg(write("module.mjs", &snippet.text)), snippet.id),
            "c" => {
                let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("static/sdk/c");
                let source = write("snippet.c", &snippet.text);
                must(
                    Command::new("cc")
                        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "-o"])
                        .arg(folder.join("snippet.o"))
                        .arg("-I")
                        .arg(headers)
                        .arg(source),
                    snippet.id,
                );
            }
            "cpp" => {
                let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("static/sdk");
                let mut compiler = Command::new("c++");
                compiler.args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]).arg(include.join("c")).arg("-I").arg(include.join("cpp"));
                must(compiler.arg(write("snippet.cpp", &snippet.text)), snippet.id);
            }
            "python" => must(Command::new("python3").args(["-W", "error", "-m", "py_compile"]).arg(write("snippet.py", &snippet.text)), snippet.id),
            // Their compilers are tests/languages' to install, which takes them from a page.
            "csharp" | "java" | "objective-c" => {}
            "curl" => {
                must(Command::new("sh").arg("-n").arg(write("snippet.sh", &snippet.text)), snippet.id);
                let (_, body) = snippet.text.split_once("--data '").expect("done");
                let body = body.trim_end().strip_suffix('\'').expect("done").replace("'\\''", "'");
                let body: serde_json::Value = serde_json::from_str(&body).expect("done");
                assert_eq!(body["session_password"], "it's \"secret\"");
            }
            other => panic!("say here how a snippet of {other} is checked"),
        }
    }

    #[test]
    fn every_snippet_is_taken_by_its_language_whatever_is_filled_in() {
        if Command::new("node").arg("--version").output().is_err() {
            return;
        }
        let folder = tempfile::tempdir().expect("done");
        for product in ["dbr", "a \"strange\" 'product' </script> \\ ??/ é"] {
            let snippets = all(&filling(product)).expect("done");
            for library in crate::http::sdk::libraries() {
                assert!(snippets.iter().any(|snippet| snippet.href == format!("/sdk/{}/", library.folder)), "{}", library.folder);
            }
            for snippet in &snippets {
                assert!(snippet.id == "curl" || snippet.text.contains("TK1.eyJzZXJ2ZXJzIjpb"), "{}", snippet.text);
                check(snippet, folder.path());
            }
        }
    }
}
